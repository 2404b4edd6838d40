// Package rootfs sets up the root file system of a container with the semantics of the OCI runtime specification.
package rootfs

import (
	_ "github.com/go-json-experiment/json/jsontext"
	_ "github.com/opencontainers/selinux/go-selinux/label"
)
