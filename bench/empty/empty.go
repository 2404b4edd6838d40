// Command empty is the smallest Go library that C can call: what every engine written in Go pays before its first line runs.
package main

import "C"

// Empty does nothing.
//
//export Empty
func Empty() {}

func main() {}
