// A Go library of someone else's, for the test that two Go runtimes in one process are refused.
package main

import "C"

//export answer
func answer() C.int { return 42 }

func main() {}
