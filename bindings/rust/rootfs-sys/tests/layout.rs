//! The structs and numbers of this crate against those that a C compiler finds in the header.

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use rootfs_sys::*;

/// (C expression, what Rust has for it)
type Table = Vec<(String, usize)>;

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {{
        let mut table: Table = Vec::new();
        $(
            table.push((format!("sizeof(struct {})", stringify!($name)), size_of::<$name>()));
            $(table.push((
                format!("offsetof(struct {}, {})", stringify!($name), stringify!($field)),
                offset_of!($name, $field),
            ));)*
        )*
        table
    }};
}

macro_rules! numbers {
    ($($name:ident)*) => { vec![$((stringify!($name).to_string(), $name as usize)),*] };
}

fn table() -> Table {
    let mut table = structs! {
        rootfs_error { size, code, errnum, reserved, operation, pointer, message }
        rootfs_progress { size, index, count, reserved, operation, target, pointer }
        rootfs_source { mount, fd }
        rootfs_request {
            size, reserved, config, config_len, options, options_len, on_mounts_ready, on_progress, user, sources, sources_len
        }
        rootfs_terminal { size, rows, columns, uid, gid }
    };
    table.extend(numbers! {
        ROOTFS_ERR_INVALID ROOTFS_ERR_SYSTEM ROOTFS_ERR_UNSAFE ROOTFS_ERR_UNSUPPORTED ROOTFS_ERR_CALLBACK ROOTFS_ERR_HOOK
        ROOTFS_ERR_STATE ROOTFS_ERR_ENGINE ROOTFS_ERR_FORKED ROOTFS_ERR_INTERNAL
    });
    table
}

fn header() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../include/rootfs.h")
}

/// Compiles and runs a C program that prints each expression with its value.
fn as_c_sees_it(table: &Table) -> BTreeMap<String, usize> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, program) = (dir.join("layout.c"), dir.join("layout"));
    let prints: String = table.iter().map(|(c, _)| format!("\tprintf(\"%zu %s\\n\", (size_t)({c}), \"{c}\");\n")).collect();
    let text =
        format!("#include \"{}\"\n#include <stdio.h>\nint main(void)\n{{\n{prints}\treturn 0;\n}}\n", header().display());
    std::fs::write(&source, text).unwrap();
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(cc).args(["-std=c99", "-o"]).arg(&program).arg(&source).status().expect("a C compiler");
    assert!(built.success(), "the layout program does not compile");
    let out = Command::new(&program).output().unwrap();
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (value, name) = line.split_once(' ').unwrap();
            (name.to_string(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn layout_is_that_of_the_header() {
    let table = table();
    let c = as_c_sees_it(&table);
    assert_eq!(c.len(), table.len());
    for (name, rust) in table {
        assert_eq!(c[&name], rust, "{name}");
    }
}

/// A member or number that the header gained must come here too.
#[test]
fn nothing_of_the_header_is_missing() {
    let text = std::fs::read_to_string(header()).unwrap();
    let here = include_str!("../src/lib.rs");
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // What a program that links the archive may define is no symbol of the library, which this crate links.
    let programs = "rootfs_engine_directory";
    for name in
        text.split(|c| !word(c)).filter(|w| w.starts_with("ROOTFS_ERR_") || w.starts_with("rootfs_")).filter(|w| *w != programs)
    {
        assert!(here.contains(name), "{name} is in rootfs.h only");
    }
}

#[test]
fn the_library_answers() {
    // SAFETY: rootfs_version takes nothing and gives a static string.
    let version = unsafe { std::ffi::CStr::from_ptr(rootfs_version()) }.to_str().unwrap();
    let header = std::fs::read_to_string(header()).unwrap();
    let number = |name: &str| {
        let line = header.lines().find(|l| l.contains(&format!("ROOTFS_VERSION_{name} "))).unwrap();
        line.split_whitespace().last().unwrap().to_string()
    };
    assert_eq!(version, format!("{}.{}.{}", number("MAJOR"), number("MINOR"), number("PATCH")));
}
