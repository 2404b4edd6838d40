//! What to set up, and the callbacks.

use std::any::Any;
use std::error::Error as StdError;
use std::ffi::{c_int, c_void, CStr};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use rootfs_sys as sys;

use crate::call::{call, document};
use crate::error::Details;
use crate::{Config, Error, Options, Plan, Prepared, Report, Result};

type Cause = Box<dyn StdError + Send + Sync>;
type MountsReady<'a> = Box<dyn FnMut() -> std::result::Result<(), Cause> + Send + 'a>;
type OnProgress<'a> = Box<dyn FnMut(&Progress<'_>) + Send + 'a>;

/// What to set up: a [`Config`], host [`Options`], callbacks, and sources that are descriptors.
///
/// `Send` and `Sync`, so that it can be made in a parent and used in what `std::process::Command` calls before its exec
/// (`CommandExt::pre_exec`); its callbacks are `Send` for that reason, though they are called on the thread of `prepare`.
///
/// ```
/// use rootfs::{Error, Request};
/// use serde_json::json;
///
/// let config = json!({"ociVersion": "1.2.0", "root": {"path": "/"}, "mounts": [{"source": "tmpfs"}]});
/// match Request::new(config).validate() {
///     Err(Error::Invalid(details)) => assert!(details.pointer.starts_with("/mounts/0")),
///     other => panic!("{other:?}"),
/// }
/// ```
#[must_use]
pub struct Request<'a> {
    config: Config,
    options: Option<Options>,
    /// Never locked: prepare owns the request. The Mutex is what makes it Sync.
    callbacks: Mutex<Callbacks<'a>>,
    sources: Vec<sys::rootfs_source>,
    _borrowed: PhantomData<BorrowedFd<'a>>,
}

/// One step, told before it is done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Number of the step, from 0.
    pub index: u32,
    /// How many steps the call has.
    pub count: u32,
    /// Kind of step, as in [`Plan`]: `mount`, `device`, `mask-path`.
    pub operation: &'a CStr,
    /// Path inside the container.
    pub target: &'a CStr,
    /// JSON pointer of the field that asked for it, or empty.
    pub pointer: &'a CStr,
}

/// The source of one mount, opened by the host: the file or directory to bind, or a detached tree. Owns its descriptor
/// (O_CLOEXEC), which a forked child inherits and an exec'ed one gets by SCM_RIGHTS.
#[derive(Debug)]
pub struct Source {
    /// Index in the config's `mounts`.
    pub mount: u32,
    /// The descriptor.
    pub fd: OwnedFd,
}

impl<'a> Request<'a> {
    /// A request for a config, without options. Paths in it must then be absolute.
    pub fn new(config: impl Into<Config>) -> Self {
        Self { config: config.into(), options: None, callbacks: Mutex::default(), sources: Vec::new(), _borrowed: PhantomData }
    }

    /// A request for the config.json of a bundle directory, whose absolute path becomes the option `bundle`.
    pub fn from_bundle(directory: impl AsRef<Path>) -> io::Result<Self> {
        let bundle = directory.as_ref().canonicalize()?;
        Ok(Self::new(Config::from_file(bundle.join("config.json"))?).options(Options::bundle(bundle)))
    }

    /// Sets the host options. Those that name no bundle keep the one of [`from_bundle`](Self::from_bundle).
    pub fn options(mut self, options: Options) -> Self {
        let bundle = self.options.take().and_then(|before| before.bundle);
        self.options = Some(Options { bundle: options.bundle.or(bundle), ..options });
        self
    }

    /// Sets what is called once, after all mounts and /dev, before createContainer hooks and the switch of the root: the time
    /// to have createRuntime hooks run. An error ends [`prepare`](Self::prepare) with [`Error::Callback`], whose source it is;
    /// a panic ends it too and goes on after it.
    pub fn on_mounts_ready<E: Into<Cause>>(
        mut self,
        mut function: impl FnMut() -> std::result::Result<(), E> + Send + 'a,
    ) -> Self {
        self.own_callbacks().ready = Some(Box::new(move || function().map_err(Into::into)));
        self
    }

    /// Sets what is called before each step, also before those of [`Prepared::finalize`]. A panic in it ends
    /// [`prepare`](Self::prepare) when `on_mounts_ready` is due, or else goes on after the last step of the call; the process
    /// is to exit then too.
    pub fn on_progress(mut self, function: impl FnMut(&Progress<'_>) + Send + 'a) -> Self {
        self.own_callbacks().progress = Some(Box::new(function));
        self
    }

    /// Gives the mount with this index in `mounts` a descriptor as its source, which stays open.
    pub fn source(mut self, mount: u32, fd: BorrowedFd<'a>) -> Self {
        self.sources.push(sys::rootfs_source { mount, fd: fd.as_raw_fd() });
        self
    }

    /// Gives the root itself as a descriptor, which stays open: a directory of this mount namespace, or a detached tree. It is attached
    /// at `root.path`, where any directory has to be (include/rootfs.h, `struct rootfs_source`).
    pub fn root(self, fd: BorrowedFd<'a>) -> Self {
        self.source(sys::ROOTFS_SOURCE_ROOT, fd)
    }

    /// Gives what [`open_sources`](Self::open_sources) opened.
    pub fn sources(self, sources: &'a [Source]) -> Self {
        sources.iter().fold(self, |request, source| request.source(source.mount, source.fd.as_fd()))
    }

    /// Checks the request without touching anything. Any process, any thread; only not where the helper process would be the
    /// init of a pid namespace that was unshared or entered ([`Error::State`]), nor once the root is switched, where it cannot
    /// be found. The same holds for the other calls that say "any process".
    pub fn validate(&self) -> Result<()> {
        let (_options, request) = self.to_c()?;
        // SAFETY: both pointers are valid for the call.
        call(|error| unsafe { sys::rootfs_validate(&request, error) })
    }

    /// The steps that [`prepare`](Self::prepare) and [`Prepared::finalize`] would do on this host. Any process, any thread.
    pub fn plan(&self) -> Result<Plan> {
        let (_options, request) = self.to_c()?;
        // SAFETY: the three pointers are valid for the call.
        document(|json, error| unsafe { sys::rootfs_plan(&request, json, error) })
    }

    /// Opens, in a privileged parent, the mount sources that the child cannot reach by itself: those of idmapped mounts and,
    /// when the config has a user namespace (`userns`, where it exists already), of every bind. Any process, any thread. Without
    /// open_tree(2), before Linux 5.2, binds that are not idmapped are left out, and the child takes their sources by path.
    pub fn open_sources(&self, userns: Option<BorrowedFd<'_>>) -> Result<Vec<Source>> {
        let (_options, request) = self.to_c()?;
        let mut found = vec![sys::rootfs_source { mount: 0, fd: -1 }; self.config.mounts()];
        let mut count = found.len();
        let userns = userns.map_or(-1, |fd| fd.as_raw_fd());
        // SAFETY: the pointers are valid for the call, and found has room for count entries.
        call(|error| unsafe { sys::rootfs_open_sources(&request, userns, found.as_mut_ptr(), &mut count, error) })?;
        found.truncate(count);
        // SAFETY: the library has given us these descriptors, and nobody else has them.
        Ok(found.iter().map(|s| Source { mount: s.mount, fd: unsafe { OwnedFd::from_raw_fd(s.fd) } }).collect())
    }

    /// Compares what the kernel reports with what the config promised, in a process that stands in the container's root and
    /// namespaces. A process from outside gets there with [`start`](crate::start), since the engine's file cannot be reached
    /// from inside, and then setns(2).
    pub fn verify(&self) -> Result<Report> {
        let (_options, request) = self.to_c()?;
        // SAFETY: the three pointers are valid for the call.
        document(|report, error| unsafe { sys::rootfs_verify(&request, report, error) })
    }

    /// Mounts, devices, hooks, switch of the root, working directory: up to a root in which the host can still write.
    ///
    /// Call it in the init child, after the fork that made it and after it entered its user, mount and pid namespaces. All
    /// work and all callbacks are on the calling thread. After an error the process is to exit; with a mount namespace of
    /// its own nothing stays behind.
    ///
    /// # Panics
    ///
    /// With what a callback panicked with.
    pub fn prepare(mut self) -> Result<Prepared<'a>> {
        let callbacks = std::mem::take(self.own_callbacks());
        let (has_ready, has_progress) = (callbacks.ready.is_some(), callbacks.progress.is_some());
        let mut callbacks = Kept::new(callbacks);
        let (_options, mut request) = self.to_c()?;
        // on_progress alone gets the other too, through which its panic can end the call.
        request.on_mounts_ready = (has_ready || has_progress).then_some(mounts_ready);
        request.on_progress = has_progress.then_some(on_progress);
        request.user = callbacks.user();
        // SAFETY: what the request points to lives until the call returns, and its callbacks get `callbacks` back.
        let result = call(|error| unsafe { sys::rootfs_prepare(&request, error) });
        callbacks.outcome(result)?;
        Ok(Prepared { callbacks })
    }

    fn own_callbacks(&mut self) -> &mut Callbacks<'a> {
        self.callbacks.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The C request without callbacks, and the text of the options that it points to.
    fn to_c(&self) -> Result<(Vec<u8>, sys::rootfs_request)> {
        let options = match &self.options {
            Some(options) => serde_json::to_vec(options).map_err(|cause| {
                // A path that is not UTF-8.
                let message = format!("options#: {cause}");
                let (operation, pointer) = ("parse".into(), "options#".into());
                Error::Invalid(Details { operation, pointer, message, cause: Some(Box::new(cause)), ..Details::default() })
            })?,
            None => Vec::new(),
        };
        let request = sys::rootfs_request {
            config: self.config.json().as_ptr().cast(),
            config_len: self.config.json().len(),
            options: if options.is_empty() { std::ptr::null() } else { options.as_ptr().cast() },
            options_len: options.len(),
            sources: self.sources.as_ptr(),
            sources_len: self.sources.len(),
            ..sys::rootfs_request::INIT
        };
        Ok((options, request))
    }
}

/// The callbacks of a process that is being set up, in one place until it is finalized: C keeps a pointer to them. A raw
/// pointer here too, since a Box that moves claims that nobody else has one.
pub(crate) struct Kept<'a>(NonNull<Callbacks<'a>>);

impl<'a> Kept<'a> {
    fn new(callbacks: Callbacks<'a>) -> Self {
        Self(NonNull::from(Box::leak(Box::new(callbacks))))
    }

    fn user(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// The result of a call that may have called back: a callback's panic goes on, its error becomes the cause.
    pub(crate) fn outcome(&mut self, result: Result<()>) -> Result<()> {
        // SAFETY: the call has returned, so C does not use it now.
        match unsafe { self.0.as_mut() }.failed.take() {
            Some(Failed::Panic(payload)) => resume_unwind(payload),
            Some(Failed::Error(cause)) => result.map_err(|error| error.with_cause(cause)),
            None => result,
        }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        // SAFETY: from Box::leak. C uses it in rootfs_prepare and rootfs_finalize only, and who could call the latter owns this.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// What the C callbacks get as `user`.
#[derive(Default)]
struct Callbacks<'a> {
    ready: Option<MountsReady<'a>>,
    progress: Option<OnProgress<'a>>,
    failed: Option<Failed>,
}

/// How a callback failed, the first that did. Nothing may unwind through C.
enum Failed {
    Panic(Box<dyn Any + Send>),
    Error(Cause),
}

const ECANCELED: c_int = 125;

unsafe extern "C" fn mounts_ready(user: *mut c_void) -> c_int {
    // SAFETY: user is the Callbacks of the prepare that is calling, which has no other reference to it meanwhile.
    let callbacks = unsafe { &mut *user.cast::<Callbacks<'_>>() };
    if callbacks.failed.is_none() {
        if let Some(function) = &mut callbacks.ready {
            match catch_unwind(AssertUnwindSafe(function)) {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => callbacks.failed = Some(Failed::Error(cause)),
                Err(payload) => callbacks.failed = Some(Failed::Panic(payload)),
            }
        }
    }
    match &callbacks.failed {
        None => 0,
        Some(Failed::Panic(_)) => ECANCELED,
        Some(Failed::Error(cause)) => {
            let errno = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            errno.filter(|&number| number != 0).unwrap_or(ECANCELED)
        }
    }
}

unsafe extern "C" fn on_progress(user: *mut c_void, progress: *const sys::rootfs_progress) {
    // SAFETY: as above; progress and its strings live until this returns.
    let (callbacks, told) = unsafe { (&mut *user.cast::<Callbacks<'_>>(), &*progress) };
    let (None, Some(function)) = (&callbacks.failed, &mut callbacks.progress) else { return };
    // SAFETY: as above.
    let step = unsafe {
        Progress {
            index: told.index,
            count: told.count,
            operation: CStr::from_ptr(told.operation),
            target: CStr::from_ptr(told.target),
            pointer: CStr::from_ptr(told.pointer),
        }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| function(&step))) {
        callbacks.failed = Some(Failed::Panic(payload));
    }
}
