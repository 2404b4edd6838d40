//! The whole set-up on the real kernel. Each test forks an init child with namespaces of its own; what needs root is
//! reported as ignored where there is none.

mod child;
mod root;
mod tests;

use libtest_mimic::{Arguments, Trial};

fn main() {
    // SAFETY: takes nothing, cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("not root: the tests of this file are ignored");
    }
    let trials = tests::ALL
        .iter()
        .map(|&(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
            .with_ignored_flag(!is_root)
        })
        .collect();
    // One after the other, on this thread: a child that is forked while another thread reports its panic inherits the lock
    // that the reporting holds, and hangs at its own first panic.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}
