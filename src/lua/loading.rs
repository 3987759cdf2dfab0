//! A plugin on its way, on the Lua path: a child process reads, finds or compiles its module while the
//! worker serves.
//!
//! Some are loaded at once, as many as there are cores; the others wait, unless a request waits for
//! them. The child's pipe is looked at by a timer: to watch it, nginx would need a connection for
//! each.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use proxy_wasm_host::wasm::{Error, Loaded, Loading};
use proxy_wasm_host::{Announced, Dialect, RootId};

use super::LoadedPlugin;
use super::plugins::with_runtime;
use crate::context::Post;
use crate::task::{OnQuit, Sleep, Task, spawn};
use crate::worker::{MainConf, Runtime, announce};

/// Milliseconds until the first look at a child, and the most between two. Each is twice the one
/// before.
const LOOKS: (u32, u32) = (1, 16);

/// How long a plugin waits until it is loaded again, if that failed for a reason that may pass.
const AGAIN: Duration = Duration::from_secs(10);

/// How long the worker itself waits for a plugin in all, where Lua cannot wait, so that a small one
/// is not missing there.
const SHORTLY: Duration = Duration::from_secs(1);

/// Bytes of the largest plugin that is waited for so while it is compiled.
const SMALL: u64 = 1 << 20;

thread_local! {
    /// How many children load modules. nginx runs in one thread.
    static CHILDREN: Cell<usize> = const { Cell::new(0) };
}

/// A plugin that is loaded, or was.
pub struct Load {
    module: Rc<OnItsWay>,
    _task: Task,
}

struct OnItsWay {
    name: String,
    path: PathBuf,
    /// For the VM, once there is one.
    announced: Rc<Cell<Option<Announced>>>,
    state: RefCell<State>,
    /// The semaphores of Lua threads that wait.
    waiting: RefCell<Vec<(*mut c_void, Post)>>,
    /// How long the worker may still wait where Lua cannot.
    patience: Cell<Duration>,
}

enum State {
    /// It waits for others.
    Waits,
    Loads(Loading, Instant, OneOfChildren),
    Loaded(LoadedPlugin),
    Failed(Failed),
}

/// Why there is no plugin.
#[derive(Clone)]
pub struct Failed {
    pub reason: String,
    /// When it may be tried again.
    again: Option<Instant>,
}

impl Failed {
    /// A plugin that cannot be made of its module.
    pub fn for_good(reason: String) -> Self {
        Self { reason, again: None }
    }

    /// Whether it is time to try again.
    pub fn is_over(&self) -> bool {
        self.again.is_some_and(|again| again <= Instant::now())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        // The module is not at fault, or nobody knows whether it is.
        let may_pass = matches!(error, Error::Compiler(_));
        Self { reason: error.to_string(), again: may_pass.then(|| Instant::now() + AGAIN) }
    }
}

impl Load {
    /// Begins, when nginx is back in its loop.
    pub fn new(name: &str, path: PathBuf, announced: Rc<Cell<Option<Announced>>>) -> Self {
        let module = Rc::new(OnItsWay {
            name: name.to_owned(),
            path,
            announced,
            state: RefCell::new(State::Waits),
            waiting: RefCell::default(),
            patience: Cell::new(SHORTLY),
        });
        let loaded = Rc::clone(&module);
        Self { module, _task: spawn(OnQuit::Forget, async move { loaded.load().await }) }
    }

    /// Whether it is neither loaded nor has failed.
    pub fn is_under_way(&self) -> bool {
        matches!(*self.module.state.borrow(), State::Waits | State::Loads(..))
    }

    /// Adds a semaphore of Lua's, which is posted when it is no longer under way.
    pub fn wake(&self, semaphore: *mut c_void, post: Post) {
        self.module.waiting.borrow_mut().push((semaphore, post));
        self.module.start();
        self.module.tell();
    }

    /// Waits for a moment, which keeps the worker. Returns whether it is no longer under way.
    pub fn wait_shortly(&self) -> bool {
        self.module.start();
        self.module.wait_shortly()
    }

    /// Returns the plugin, and waits for it if it is under way. That keeps the worker.
    pub fn finish(self) -> Result<LoadedPlugin, Failed> {
        self.module.start();
        self.module.finish();
        match self.module.state.replace(State::Waits) {
            State::Loaded(loaded) => Ok(loaded),
            State::Failed(failed) => Err(failed),
            State::Waits | State::Loads(..) => Err(Failed::for_good("is not loaded".to_owned())),
        }
    }
}

impl OnItsWay {
    async fn load(&self) {
        while CHILDREN.get() >= available_parallelism().map_or(1, usize::from) && self.waits() {
            Sleep::new(LOOKS.1, OnQuit::Forget).await;
        }
        self.start();
        let mut pause = LOOKS.0;
        while !self.has_ended() {
            Sleep::new(pause, OnQuit::Forget).await;
            pause = (2 * pause).min(LOOKS.1);
        }
        self.finish();
    }

    fn waits(&self) -> bool {
        matches!(*self.state.borrow(), State::Waits)
    }

    /// Starts the child, unless there was one.
    fn start(&self) {
        if !self.waits() {
            return;
        }
        let begun = with_runtime(|_, runtime| Some(runtime.begin(&self.path)));
        let state = match begun {
            Some(Ok(loading)) => State::Loads(loading, Instant::now(), OneOfChildren::new()),
            Some(Err(error)) => self.failed(error.into()),
            None => State::Failed(Failed::for_good("miss wasm_vm configuration".to_owned())),
        };
        self.state.replace(state);
    }

    /// Whether nothing is left to wait for.
    fn has_ended(&self) -> bool {
        match &mut *self.state.borrow_mut() {
            State::Loads(loading, ..) => loading.hear(|| self.announce()),
            _ => true,
        }
    }

    fn wait_shortly(&self) -> bool {
        while !self.has_ended() {
            let (patience, asked) = (self.patience.get(), Instant::now());
            match &*self.state.borrow() {
                State::Loads(loading, ..) if !(patience.is_zero() || loading.compiles() && self.size() > SMALL) => {
                    // If that fails, the patience comes to its end all the same.
                    let _ = loading.wait_to_hear(patience);
                }
                _ => return false,
            }
            self.patience.set(patience.saturating_sub(asked.elapsed()));
        }
        self.finish();
        true
    }

    /// Takes the module over from its child, and waits for that if need be.
    fn finish(&self) {
        let loads = matches!(*self.state.borrow(), State::Loads(..));
        if loads && let State::Loads(loading, begun, _child) = self.state.replace(State::Waits) {
            let state = match with_runtime(|main, runtime| Some(self.take_over(main, runtime, loading, begun))) {
                Some(Ok(loaded)) => State::Loaded(loaded),
                Some(Err(failed)) => self.failed(failed),
                None => State::Failed(Failed::for_good("miss wasm_vm configuration".to_owned())),
            };
            self.state.replace(state);
        }
        self.tell();
    }

    /// Makes the plugin of its module.
    fn take_over(
        &self,
        main: &MainConf,
        runtime: &Runtime,
        loading: Loading,
        begun: Instant,
    ) -> Result<LoadedPlugin, Failed> {
        let Loaded { module, mentions_name, .. } = runtime.finish(&self.name, loading, begun, || self.announce())?;
        let root_id = RootId::given_if_asked(&self.name, mentions_name);
        let options = main.said.with_directories(&self.name, runtime.options.clone());
        let vm = (&*self.name, &[][..]);
        let plugin = runtime.link(&self.name, &module, Dialect::CModule, root_id, vm, &options);
        let plugin = plugin.map_err(Failed::for_good)?;
        let announced = self.announced.take().unwrap_or_else(Announced::new);
        Ok(LoadedPlugin::new(main, runtime, plugin, &options, announced))
    }

    fn failed(&self, failed: Failed) -> State {
        tracing::error!("failed to load wasm plugin \"{}\" at {}: {}", self.name, self.path.display(), failed.reason);
        State::Failed(failed)
    }

    fn announce(&self) {
        announce::compiling(&self.name, usize::try_from(self.size()).unwrap_or(usize::MAX));
    }

    /// Bytes of the plugin's file.
    fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Wakes those who wait, if there is nothing left to wait for.
    fn tell(&self) {
        if matches!(*self.state.borrow(), State::Loaded(_) | State::Failed(_)) {
            for (semaphore, post) in self.waiting.take() {
                // SAFETY: Lua keeps the semaphore until it has asked again whether this is under way.
                unsafe { post(semaphore, 1) };
            }
        }
    }
}

/// Counts a child.
struct OneOfChildren(());

impl OneOfChildren {
    fn new() -> Self {
        CHILDREN.set(CHILDREN.get() + 1);
        Self(())
    }
}

impl Drop for OneOfChildren {
    fn drop(&mut self) {
        // While the process exits, the count may be gone already.
        let _ = CHILDREN.try_with(|children| children.set(children.get() - 1));
    }
}
