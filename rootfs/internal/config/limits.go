package config

// Limits of the input. Each is far past what a container needs and far below what would cost the host memory or time;
// past it, Parse refuses.
const (
	MaxDocument = 8 << 20 // bytes of the config, and of the host options
	MaxDepth    = 10000   // nested objects and arrays, those that are ignored too; jsontext keeps it
	MaxEntries  = 65536   // entries of one list or object: mounts, options of a mount, devices, paths, sysctls, ...
	MaxString   = 1 << 20 // bytes of one string
	MaxPath     = 4095    // bytes of one path: PATH_MAX without its NUL
	MaxIDMaps   = 340     // lines of one id mapping: UID_GID_MAP_MAX_EXTENTS of the kernel
	MaxPid      = 1 << 22 // PID_MAX_LIMIT of the kernel
	MaxMajor    = 1<<12 - 1
	MaxMinor    = 1<<20 - 1
	MaxTimeout  = 1<<31 - 1 // seconds
)
