// Package linux has one typed wrapper for each kernel call of the library. A wrapper repeats an interrupted call, turns
// an errno into an *errs.Error that says what was called on what, and never hands out a descriptor without O_CLOEXEC.
package linux
