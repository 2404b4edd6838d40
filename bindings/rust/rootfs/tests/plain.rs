//! What needs no privilege: the calls of a parent, and errors on their way through a pipe.

use std::error::Error as _;
use std::io;
use std::path::Path;

use rootfs::{Command, Config, Error, MountCommands, Options, Request, State};
use serde_json::json;

/// A config whose root is this crate's directory.
fn config() -> serde_json::Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": env!("CARGO_MANIFEST_DIR")},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}
        ],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}], "maskedPaths": ["/proc/keys"]}
    })
}

fn invalid(result: rootfs::Result<()>) -> rootfs::Details {
    match result {
        Err(Error::Invalid(details)) => details,
        other => panic!("{other:?} is not Error::Invalid"),
    }
}

#[test]
fn a_good_config_is_valid() {
    Request::new(config()).validate().unwrap();
}

#[test]
fn a_wrong_field_is_named() {
    let mut bad = config();
    bad["mounts"][1]["options"] = json!("nosuid");
    let details = invalid(Request::new(bad).validate());
    assert_eq!(details.pointer, "/mounts/1/options");
    assert!(details.message.contains("/mounts/1/options"), "{}", details.message);
}

#[test]
fn not_json_is_invalid() {
    for text in ["", "{", "[]", "nul", "{\"root\":\"\u{0}\"}"] {
        invalid(Request::new(text).validate());
    }
    invalid(Request::new(Config::from_json(*b"{\"root\": \"\xff\"}")).validate());
}

#[test]
fn a_root_that_is_missing_is_an_error_of_its_field() {
    let mut bad = config();
    bad["root"]["path"] = json!("/nonexistent/rootfs");
    let error = Request::new(bad).validate().unwrap_err();
    assert_eq!(error.details().pointer, "/root/path");
}

#[test]
fn a_relative_bundle_is_an_error_of_the_option() {
    let details = invalid(Request::new(config()).options(Options::bundle("relative")).validate());
    assert_eq!(details.pointer, "options#/bundle");
}

#[test]
fn every_option_is_one_that_the_library_knows() {
    let options = every_option();
    Request::new(config()).options(options.clone()).validate().unwrap();
    // And none that it knows is missing here.
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../schema/options.json");
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let ours = serde_json::to_value(options).unwrap();
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mount = "/mountCommands/items/properties";
    for (theirs, ours) in [
        (&schema["properties"], &ours),
        (&schema["properties"]["state"]["properties"], &ours["state"]),
        (schema["properties"].pointer(mount).unwrap(), &ours["mountCommands"][0]),
        (&schema["$defs"]["commands"]["items"]["properties"], &ours["mountCommands"][0]["before"][0]),
    ] {
        assert_eq!(names(theirs), names(ours));
    }
}

fn every_option() -> Options {
    let command = Command { path: "/bin/true".into(), args: vec!["a".into()], env: vec!["A=b".into()], dir: Some("/".into()) };
    Options {
        bundle: Some("/tmp".into()),
        state: Some(State { id: "c1".into(), pid: Some(7), annotations: [("a".into(), "b".into())].into() }),
        no_pivot_root: true,
        rootless: true,
        cgroup2_path: Some("/a".into()),
        mount_commands: vec![MountCommands { mount: 1, before: vec![command.clone()], after: vec![command] }],
    }
}

#[test]
fn options_that_are_set_later_keep_the_bundle() {
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bundle");
    std::fs::create_dir_all(dir.join("root")).unwrap();
    let mut relative = config();
    relative["root"]["path"] = json!("root");
    std::fs::write(dir.join("config.json"), relative.to_string()).unwrap();
    Request::from_bundle(&dir).unwrap().options(Options { rootless: true, ..Options::default() }).validate().unwrap();
    invalid(Request::new(relative).validate());
}

#[test]
fn a_path_that_is_not_utf8_is_an_error_and_no_panic() {
    use std::os::unix::ffi::OsStringExt;
    let path = std::ffi::OsString::from_vec(b"/a\xff".to_vec());
    assert_eq!(invalid(Request::new(config()).options(Options::bundle(path)).validate()).pointer, "options#");
}

#[test]
fn the_plan_has_the_steps_in_order() {
    let plan = Request::new(config()).plan().unwrap();
    let place = |op: &str, target: &str| {
        plan.prepare.iter().position(|s| s.op == op && s.target == target).unwrap_or_else(|| panic!("no {op} {target}"))
    };
    assert!(place("mount", "/proc") < place("mount", "/dev"));
    assert!(place("mount", "/dev") < place("device", "/dev/null"));
    assert_eq!(plan.prepare[place("mount", "/dev")].pointer, "/mounts/1");
    assert!(plan.finalize.iter().any(|s| s.op == "mask-path" && s.target == "/proc/keys"));
}

#[test]
fn threads_may_ask_at_the_same_time() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Request::new(config()).validate().unwrap());
        }
    });
}

#[test]
fn a_spec_of_the_oci_crate_is_a_config() {
    let mut spec = oci_spec::runtime::Spec::default();
    let mut root = oci_spec::runtime::Root::default();
    root.set_path(env!("CARGO_MANIFEST_DIR").into());
    spec.set_root(Some(root));
    Request::new(Config::from_spec(&spec).unwrap()).validate().unwrap();
}

#[test]
fn an_error_survives_its_bytes() {
    let mut bad = config();
    bad["mounts"][0]["destination"] = json!(5);
    let error = Request::new(bad).validate().unwrap_err();
    let bytes = error.to_bytes();
    assert!(bytes.len() < 4096, "PIPE_BUF");
    let back = Error::from_bytes(&bytes).unwrap();
    assert_eq!(back.code(), error.code());
    assert_eq!(back.to_string(), error.to_string());
    assert_eq!(back.details().pointer, "/mounts/0/destination");
    assert_eq!(back.details().operation, error.details().operation);
    assert!(Error::from_bytes(&bytes[1..]).is_none(), "too few");
    assert!(Error::from_bytes(&[0; Error::SIZE]).is_none(), "no error");
}

#[test]
fn an_error_of_a_newer_library_keeps_its_number() {
    let mut bytes = [0; Error::SIZE];
    bytes[4..8].copy_from_slice(&77i32.to_ne_bytes());
    let error = Error::from_bytes(&bytes).unwrap();
    assert!(matches!(error, Error::Other(77, _)));
    assert_eq!(Error::from_bytes(&error.to_bytes()).unwrap().code(), 77);
}

#[test]
fn an_error_fits_where_io_errors_are_wanted() {
    let error: io::Error = Request::new("{").validate().unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.get_ref().unwrap().downcast_ref::<Error>().unwrap().source().is_none());
}

#[test]
fn nothing_is_to_be_opened_without_a_user_namespace() {
    assert!(Request::new(config()).open_sources(None).unwrap().is_empty());
}
