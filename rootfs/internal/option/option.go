// Package option gives OCI mount options their meaning, from one table that the parser, the plan, rootfs_features and
// the documentation share.
package option

// Set is what the options of one mount ask for.
type Set struct {
	Bind, Recursive bool // "bind", "rbind"; or type "bind"
	Remount         bool

	// Attr and Clear are per-mount attributes (MOUNT_ATTR_*) asked for, and asked to be off. At most one of the two has
	// a bit; the last option of a pair wins. An atime option puts MOUNT_ATTR__ATIME as a whole in Clear beside its value.
	Attr, Clear uint64
	// Touched is true where any attribute was set or cleared: a bind mount is then given exactly Attr, and otherwise
	// keeps what its source has.
	Touched bool

	// Super are superblock options by their fsconfig flag name, in this order: "ro", "sync", "dirsync", "mand",
	// "lazytime", "iversion", "silent"; those cleared ("async", "nolazytime", ...) are simply not in it.
	Super []string

	// RecAttr and RecClear are the recursive attributes ("rro", "rsuid", ...), applied with AT_RECURSIVE.
	RecAttr, RecClear uint64

	// Propagation is the MS_* values in order, each with MS_REC or not.
	Propagation []uint64

	CopyUp bool // tmpcopyup

	IDMap, RecursiveIDMap bool // idmap, ridmap

	SourceNoFollow, TargetNoFollow bool // src-nofollow, dest-nofollow (crun's names)

	Relabel byte // 'z', 'Z' or 0

	// Data is everything else, for the file system, one option a string ("mode=755", "nr_inodes=1k", "xino"); an
	// element of the document that holds several, separated by commas, is split (a backslash escapes a comma and stays,
	// as overlayfs wants it). SELinux contexts may be quoted; the quotes are taken off, as fsconfig(2) wants it:
	// `context="u:r:t:s0:c1,c2"` is the one string `context=u:r:t:s0:c1,c2`.
	Data []string
}
