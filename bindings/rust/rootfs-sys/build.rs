//! Finds librootfs: in the directory that ROOTFS_LIB_DIR names, else by pkg-config, else in `build/lib` of the source tree
//! that this crate lies in. What was found is given on as DEP_ROOTFS_LIBDIR to the crates that depend on this one directly.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=ROOTFS_LIB_DIR");
    println!("cargo:rerun-if-changed=build.rs");
    let dir = match env::var_os("ROOTFS_LIB_DIR") {
        Some(named) => Some(PathBuf::from(named)),
        None => match pkg_config::Config::new().atleast_version("0.1").probe("rootfs") {
            // pkg-config has printed what the linker needs; a directory that the linker searches anyway is not named.
            Ok(library) => {
                tell(library.link_paths.first().map(PathBuf::as_path));
                return;
            }
            Err(_) => in_tree(),
        },
    };
    if dir.is_none() {
        println!("cargo:warning=librootfs was not found: set ROOTFS_LIB_DIR, install it with its rootfs.pc, or run `make lib`");
    }
    println!("cargo:rustc-link-lib=dylib=rootfs");
    if let Some(dir) = &dir {
        println!("cargo:rustc-link-search=native={}", dir.display());
    }
    tell(dir.as_deref());
}

/// The source tree's own library, also before it is built: the build order is the user's.
fn in_tree() -> Option<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?;
    tree.join("include/rootfs.h").exists().then(|| tree.join("build/lib"))
}

fn tell(dir: Option<&Path>) {
    if let Some(dir) = dir {
        println!("cargo:libdir={}", dir.display());
        // For this crate's own tests. What is installed finds the library as the system's linker does.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display());
    }
}
