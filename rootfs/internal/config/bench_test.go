package config

import (
	"os"
	"testing"
)

func BenchmarkParseRuncSpec(b *testing.B) {
	benchmark(b, "testdata/runc-spec.json")
}

func benchmark(b *testing.B, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	options := []byte(`{"bundle": "/run/bundle", "state": {"id": "c1"}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text, options); err != nil {
			b.Fatal(err)
		}
	}
}
