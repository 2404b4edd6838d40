package rootfs

import "github.com/librootfs/librootfs/rootfs/internal/verify"

// Report is the outcome of Verify.
type Report = verify.Report

// Deviation is one promise of the config that the kernel does not confirm.
type Deviation = verify.Deviation

// Verify compares what the kernel reports with what a plan promised: each mount's type, source, flags, propagation and
// place, devices' numbers and modes, masks, read-only paths, sysctls, umask. The process must stand in the root that the
// plan was for. It changes nothing.
func Verify(p *Plan) (*Report, error) { return verify.Run(p.steps, nil) }

// Verify is Verify for what was prepared here; after Finalize. It also looks at mounts that others cover.
func (p *Prepared) Verify() (*Report, error) { return verify.Run(p.plan.steps, p.executor.Made()) }
