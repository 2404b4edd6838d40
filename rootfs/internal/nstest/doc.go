// Package nstest runs the code of a test in a fresh process with namespaces of its own, on the main thread of that
// process, so that it may mount, pivot and change directory as an init child does. Only tests import it.
//
// A test package that uses it has
//
//	func TestMain(m *testing.M) { nstest.Main(m) }
//
//	var setUp = nstest.Define("setup", func(in Input) (Output, error) { ... }) // runs in the new process
//
//	func TestIt(t *testing.T) {
//		nstest.NeedRoot(t)
//		nstest.HostUnchanged(t)
//		out, err := setUp.Run(t, nstest.Spec{Namespaces: nstest.Mount | nstest.PID}, Input{...})
//	}
//
// Define must be called while the package is initialised (a package-level variable, or init): the new process is the same
// test binary, which finds the function by its name.
//
// As root, Main first gives the whole test binary a mount namespace that stands for the host: cut off from the
// machine's, its own mounts shared as systemd makes them (so that a leak through propagation shows), and with an empty
// tmpfs as /tmp. What happens meanwhile elsewhere on the machine can then neither hide nor fake a difference, and what a
// test leaves behind goes away with the test binary. With ROOTFS_TEST_TMP it is a new directory below the one that this
// names: a kernel before Linux 6.3 has no idmapped mounts of a tmpfs, and those of a disk show what else it can do.
package nstest
