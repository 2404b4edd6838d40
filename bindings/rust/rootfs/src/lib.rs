//! Sets up the root file system of a container, with the semantics of the OCI runtime specification, from an init child
//! written in Rust. This is the safe face of [librootfs](https://github.com/librootfs/librootfs).
//!
//! A [`Request`] is a [`Config`] (an OCI config.json), host [`Options`], callbacks and sources. The set-up is a chain of
//! states, each step of which takes the one before it away, so that nothing can be left out or done twice:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use rootfs::Request;
//!
//! let request = Request::from_bundle("/run/bundle")?;
//! request.validate()?;                  // in the parent: any process, any thread
//!
//! // ... fork, enter the new namespaces; then, in the init child:
//! let prepared = request.prepare()?;    // mounts, /dev, hooks, pivot_root, working directory
//! let finalized = prepared.finalize()?; // read-only parts, sysctls, masked and read-only paths
//! assert!(finalized.verify()?.deviations.is_empty());
//! // setuid, capabilities, seccomp, execve: the host's business
//! # Ok(())
//! # }
//! ```
//!
//! # Threads and forks
//!
//! Linking the library starts nothing: no thread, no handler, no descriptor. [`validate`](Request::validate),
//! [`plan`](Request::plan), [`open_sources`](Request::open_sources) and [`features`] may be called in any process and from any
//! thread: they run in a short-lived helper process. [`start`], [`prepare`](Request::prepare) and
//! [`verify`](Request::verify) load a Go runtime into the process that calls. It has no thread: it works on the caller's, and
//! between two calls it is memory, which a child that is forked has too. So a parent that calls [`start`] once saves each of
//! its init children the start, and a process with the engine may enter any namespace. [`prepare`](Request::prepare) is for
//! the root of the process that calls it: call it in the init child, in its namespaces. A process that was forked after it,
//! or while a call was going on (from a callback, or by another thread), gets [`Error::Forked`].
//!
//! A child of a parent with threads allocates memory here (the library does too), which POSIX does not promise to work and
//! glibc makes work. What the standard library locks for itself stays locked where another thread held it at the fork:
//! reporting a panic is such a thing, so that a panic in the child of a parent whose other threads panic may hang.
//!
//! # Features
//!
//! `oci-spec`: [`Config`] from the `Spec` type of the `oci-spec` crate.

mod call;
mod config;
mod error;
mod host;
mod options;
mod prepared;
mod report;
mod request;

pub use config::Config;
pub use error::{Details, Error};
pub use host::{features, start, version};
pub use options::{Command, MountCommands, Options, State};
pub use prepared::{Finalized, Prepared, Terminal};
pub use report::{Deviation, Plan, Report, Step};
pub use request::{Progress, Request, Source};

/// What the calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;
