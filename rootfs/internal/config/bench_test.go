package config

import (
	"os"
	"testing"
)

// A container's init waits for this: some 15 µs of a default config, and in a fresh process three or four times that, for
// the pages of the code are not there yet.
func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"runc-spec.json", "podman.json"} {
		b.Run(file, func(b *testing.B) {
			text, err := os.ReadFile("testdata/" + file)
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, text)
		})
	}
	b.Run("1000 binds", func(b *testing.B) {
		benchmark(b, []byte(`{`+rootR+`, "mounts": [`+
			repeat(1000, `{"destination":"/a/b","type":"bind","source":"/s","options":["rbind","rprivate","ro"]}`)+`]}`))
	})
}

func benchmark(b *testing.B, text []byte) {
	options := []byte(`{"bundle": "/run/bundle", "state": {"id": "c1"}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text, options); err != nil {
			b.Fatal(err)
		}
	}
}
