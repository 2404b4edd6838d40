package option

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/options.md anew from the table")

const docsPath = "../../../docs/options.md"

const docsHead = `# Mount options

Made from the table in rootfs/internal/option by ` + "`go test ./rootfs/internal/option -update`" + `; a test fails where it is not current.

Options are the strings of a mount's ` + "`options`" + `. A name is compared as it is. Of an option and its opposite the last one
counts. The kernel column is the first release that can do it; where it is empty, every supported kernel can.

A bind keeps the flags of its source unless a flag is set or cleared by name; then it has exactly the flags that are asked
for. (In a user namespace, flags that the source is locked to stay; clearing one of them by name is an error.)

Of the access time options strictatime beats noatime, and noatime beats relatime, whatever their order: so the kernel
reads the flags of mount(2). The recursive ones are a single value, and the last one counts.

What is not listed here is data for the file system: ` + "`size=64m`, `lowerdir=...`" + `. An element may hold several, separated by
commas; a backslash before a comma keeps it, as overlayfs wants it; the commas of a quoted SELinux context
(` + "`context=\"u:r:t:s0:c1,c2\"`" + `) are its own. A bind mount takes no data.
`

func docs() string {
	var b strings.Builder
	b.WriteString(docsHead)
	for class := Flag; ; class++ {
		if class > Extension {
			class = Nothing
		}
		b.WriteString("\n## " + class.String() + "\n\n| option | meaning | kernel |\n| --- | --- | --- |\n")
		for _, e := range Table() {
			if e.Class == class {
				b.WriteString("| `" + e.Name + "` | " + e.Text + " | " + e.Kernel + " |\n")
			}
		}
		if class == Nothing {
			return b.String()
		}
	}
}

func TestDocsAreCurrent(t *testing.T) {
	want := docs()
	if *update {
		if err := os.WriteFile(docsPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/options.md is not what the table says; run go test ./rootfs/internal/option -update")
	}
}
