package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What a reader in C or Python gets is NUL-terminated and valid UTF-8, wherever the end falls.
func TestPutCutsBetweenCharacters(t *testing.T) {
	text := "aé€🐧" + strings.Repeat("🐧€éa", 8)
	for size := 1; size < len(text)+8; size++ {
		dst := make([]byte, size+1)
		dst[size] = 0x55
		for i := range dst[:size] {
			dst[i] = 0x55
		}
		put(dst[:size], text)
		if dst[size] != 0x55 {
			t.Fatalf("size %d: wrote past the end", size)
		}
		got, _, found := strings.Cut(string(dst[:size]), "\x00")
		if !found || !utf8.ValidString(got) || !strings.HasPrefix(text, got) || len(got) < min(size-1, len(text))-3 {
			t.Errorf("size %d: %q", size, got)
		}
	}
}

// A NUL byte in a hostile document does not hide the rest of the message.
func TestPutShowsNUL(t *testing.T) {
	dst := make([]byte, 16)
	put(dst, "a\x00b")
	if got := string(dst[:4]); got != "a?b\x00" {
		t.Errorf("%q", got)
	}
}
