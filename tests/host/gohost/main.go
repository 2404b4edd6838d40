// A host that is itself written in Go and opens librootfs.so all the same: it is to import the package instead, and is told.
//
//	gohost LIBRARY: prints the code and message of rootfs_start, then the code of rootfs_features
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "rootfs.h"

static int start(const char *path, struct rootfs_error *err)
{
	void *handle = dlopen(path, RTLD_NOW);
	int (*f)(struct rootfs_error *) = handle ? (int (*)(struct rootfs_error *))dlsym(handle, "rootfs_start") : NULL;

	err->size = sizeof *err;
	return f ? f(err) : -1;
}

static int features(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);
	int (*f)(char **, struct rootfs_error *) = handle ? (int (*)(char **, struct rootfs_error *))dlsym(handle, "rootfs_features") : NULL;
	char *json = NULL;
	int code = f ? f(&json, NULL) : -1;

	free(json);
	return code;
}
*/
import "C"

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		os.Exit(2)
	}
	path := C.CString(os.Args[1])
	var e C.struct_rootfs_error
	code := C.start(path, &e)
	fmt.Println(code, C.GoString(&e.message[0]))
	fmt.Println(C.features(path))
}
