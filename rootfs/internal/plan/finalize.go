package plan

import (
	"strconv"
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// finalize adds what takes away from the root: each step would be in the way of one before it.
func (b *builder) finalize() error {
	p := &b.plan
	do := func(s Step) { p.Finalize = append(p.Finalize, s) }
	p.Finalize = append(p.Finalize, b.late.rest()...)
	if b.c.Root.Readonly {
		do(&ReadonlyRoot{Base{"/root/readonly", "/"}})
	}
	umask := &Umask{Mask: 0o022}
	if b.c.Process.Umask != nil {
		umask = &Umask{Base{Ptr: "/process/user/umask"}, *b.c.Process.Umask}
	}
	do(umask)
	for _, s := range b.c.Sysctls {
		pointer := "/linux/sysctl/" + escape(s.Key)
		file, err := sysctlFile(s.Key)
		if err != nil {
			return errs.At(pointer, err)
		}
		do(&Sysctl{Base{pointer, "/proc/sys/" + file}, file, s.Value})
	}
	once(b.c.ReadonlyPaths, func(i int, path string) {
		do(&ReadonlyPath{Base{"/linux/readonlyPaths/" + strconv.Itoa(i), path}})
	})
	once(b.c.MaskedPaths, func(i int, path string) {
		do(&MaskPath{Base{"/linux/maskedPaths/" + strconv.Itoa(i), path}, b.c.MountLabel})
	})
	return nil
}

// once calls f for the first of each path.
func once(paths []string, f func(i int, path string)) {
	seen := make(map[string]bool, len(paths))
	for i, p := range paths {
		if !seen[p] {
			seen[p] = true
			f(i, p)
		}
	}
}

// sysctlFile is the path of a key below /proc/sys, by the rule of sysctl(8): the separator that comes first separates,
// and the other one stands for it in names that contain it ("net.ipv4.conf.eth0/100.forwarding" is of eth0.100).
func sysctlFile(key string) (string, error) {
	file := key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		file = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, key)
	}
	for part := range strings.SplitSeq(file, "/") {
		if part == "" || part == "." || part == ".." {
			return "", errs.Bad("", "is not the name of a kernel parameter")
		}
	}
	return file, nil
}

// escape makes a token of a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
