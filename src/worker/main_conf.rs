//! nginx's main configuration of this module: the settings of `http`, and what was made of them.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use ngx_bindings::modules::{HttpModule, StoredLocation};
use ngx_bindings::peers::Balancers;
use ngx_bindings::ssl::{Tls, Verify};
use ngx_bindings::variables::VariableIndex;
use ngx_bindings::{Conf, Request, upstream};
use proxy_wasm_host::config::Phase;
use proxy_wasm_host::outgoing::Upstreams;

use super::contexts::Contexts;
use super::declared::{self, DeclaredPlugin};
use super::installation::Installation;
use super::rehearsal;
use super::runtime::{DeclaredVm, Runtime};
use crate::calls::{Client, RESPONSE_BODY};
use crate::conf::{Attached, Fault, HttpConf, TlsSettings};
use crate::identity::main_module_of;
use crate::shared::Shared;

/// The main configuration of this module.
#[derive(Default)]
pub struct MainConf {
    /// The settings of `http`.
    pub said: HttpConf,
    /// The zones that all workers share.
    pub shared: Rc<Shared>,
    /// Whether Lua has this module's Lua file.
    pub installation: Installation,
    /// The locations that have plugins.
    pub locations: RefCell<Vec<StoredLocation>>,
    /// `$proxy_host`, which nginx does not find by its name.
    pub proxy_host: Cell<Option<VariableIndex>>,
    /// The functions of upstreams' balancers that this module's stands in front of.
    pub balancers: OnceCell<Balancers>,
    /// The number of variables that nginx's modules had declared before directives were read.
    pub variables_of_modules: Cell<usize>,
    made: Option<Made>,
    client: OnceCell<Rc<Client>>,
    contexts: OnceCell<Contexts>,
}

/// What was made of `http` after nginx had read all of it.
struct Made {
    runtime: Runtime,
    tls: Rc<Tls>,
    upstreams: Rc<Upstreams>,
    /// The plugins, in the order of their declarations.
    plugins: Vec<DeclaredPlugin>,
    /// The VMs.
    vms: Vec<DeclaredVm>,
    /// For each plugin, the index of its VM.
    vm_of: Vec<usize>,
    /// For each attachment, the index of its plugin.
    plugin_of: Vec<usize>,
    /// For each attachment, the facts that requests need.
    attached: Vec<Attached>,
}

impl MainConf {
    /// The module, to ask nginx for this configuration.
    #[inline]
    pub fn module() -> HttpModule<Self> {
        // SAFETY: this is what `create_main_conf` makes.
        unsafe { main_module_of() }
    }

    /// Returns the main configuration of the request's `http`.
    #[inline]
    pub fn of(request: Request<'_>) -> &Self {
        request.main_conf(Self::module())
    }

    /// Returns the host that `proxy_pass` of the request names, once it has begun.
    pub fn proxy_host(request: Request<'_>) -> Option<&[u8]> {
        let index = Self::of(request).proxy_host.get()?;
        // SAFETY: nginx gave the index while it read this configuration.
        unsafe { request.indexed_variable(index) }
    }

    /// Reads, checks and compiles the declared plugins. nginx calls this when it has read all of
    /// `http`.
    ///
    /// # Errors
    ///
    /// The error that the operator must correct.
    pub fn load(&mut self, cf: Conf) -> Result<(), Fault> {
        if self.said.enabled {
            self.made = Some(Made::new(&self.said, &self.shared, cf)?);
        }
        Ok(())
    }

    /// Returns the client with which plugins call other servers.
    pub fn client(&self) -> &Rc<Client> {
        let limit = self.said.response_limit.unwrap_or(RESPONSE_BODY);
        self.client.get_or_init(|| {
            let made = self.made.as_ref().map(|made| (Rc::clone(&made.tls), Rc::clone(&made.upstreams)));
            let (tls, upstreams) = made.unzip();
            Rc::new(Client::new(tls, upstreams.unwrap_or_default(), limit, self.said.call_connections))
        })
    }

    /// Returns the engine with its parts; `None` without `wasm_vm`.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.made.as_ref().map(|made| &made.runtime)
    }

    /// Returns the declared plugins.
    pub fn plugins(&self) -> &[DeclaredPlugin] {
        self.made.as_ref().map_or(&[], |made| &made.plugins)
    }

    /// Returns the VMs of the declared plugins.
    pub fn vms(&self) -> &[DeclaredVm] {
        self.made.as_ref().map_or(&[], |made| &made.vms)
    }

    /// Returns, for each declared plugin, the index of its VM.
    pub fn vm_indexes(&self) -> &[usize] {
        self.made.as_ref().map_or(&[], |made| &made.vm_of)
    }

    /// Returns, for each `proxy_wasm` line, the facts that requests need.
    pub fn attached(&self) -> &[Attached] {
        self.made.as_ref().map_or(&[], |made| &made.attached)
    }

    /// Returns, for each `proxy_wasm` line, the index of its plugin.
    pub fn plugin_indexes(&self) -> &[usize] {
        self.made.as_ref().map_or(&[], |made| &made.plugin_of)
    }

    /// Returns the plugin of an attachment.
    pub fn plugin_of(&self, attachment: usize) -> &DeclaredPlugin {
        &self.plugins()[self.plugin_indexes()[attachment]]
    }

    /// Whether any plugin gets requests in that phase.
    pub fn has_attachments_in(&self, phase: Phase) -> bool {
        self.attached().iter().any(|attached| attached.phase == phase && self.gets_requests(attached.index))
    }

    /// Whether any plugin gets requests.
    pub fn has_attachments(&self) -> bool {
        self.attached().iter().any(|attached| self.gets_requests(attached.index))
    }

    /// Whether any plugin gets subrequests.
    pub fn has_attachments_for_subrequests(&self) -> bool {
        self.attached().iter().any(|attached| attached.subrequests)
    }

    fn gets_requests(&self, attachment: usize) -> bool {
        !self.said.attachments[attachment].is_service()
    }

    /// Returns the VMs and PluginContexts of this process, which are made on first use.
    pub fn contexts(&self) -> &Contexts {
        self.contexts.get_or_init(|| Contexts::new(self))
    }

    /// Takes the VMs and PluginContexts, if this process has made them.
    pub fn take_contexts(&mut self) -> Option<Contexts> {
        self.contexts.take()
    }

    /// Makes the cache folder that workers write. nginx knows the workers' user only now.
    pub fn prepare_for_workers(&self, user: u32) {
        if let Some(cache) = self.runtime().and_then(|runtime| runtime.cache.as_ref()) {
            cache.prepare_for(user);
        }
    }
}

impl Made {
    fn new(said: &HttpConf, shared: &Shared, cf: Conf) -> Result<Self, Fault> {
        // The quick checks come first, because compiling a plugin may take long.
        let plugin_of = said.find_plugins()?;
        let firsts = said.find_vms()?;
        said.check_directories()?;
        let upstreams = Rc::new(said.upstreams(|name| upstream::is_block(cf, name))?);
        let runtime = Runtime::new(said, cf)?;
        shared.declare(cf, &said.zones).map_err(|message| Fault { message, place: String::new() })?;
        let plugins = declared::load(&runtime, said)?;
        let (vms, vm_of) = vms(&runtime, said, &plugins, &firsts)?;
        rehearsal::start(&said.attachments, &plugins, &vms, (&plugin_of, &vm_of))?;
        let tls = tls(&said.tls, upstreams.any_verifies(), cf)?;
        let lines = said.attachments.iter().zip(&plugin_of).enumerate();
        let attached = lines.map(|(index, (line, &plugin))| {
            let DeclaredPlugin { phase, ref policy, priority, .. } = plugins[plugin];
            let (in_location, subrequests) = (line.in_location, line.subrequests);
            Attached { index, phase, policy: Rc::clone(policy), priority, in_location, subrequests }
        });
        Ok(Self { attached: attached.collect(), runtime, tls, upstreams, plugins, vms, vm_of, plugin_of })
    }
}

/// Makes the VMs, and says for each plugin which is its own. `firsts` has, for each plugin, the first
/// one of its VM.
fn vms(
    runtime: &Runtime,
    said: &HttpConf,
    plugins: &[DeclaredPlugin],
    firsts: &[usize],
) -> Result<(Vec<DeclaredVm>, Vec<usize>), Fault> {
    let (mut vms, mut vm_of) = (Vec::new(), Vec::new());
    for (index, &first) in firsts.iter().enumerate() {
        if first == index {
            vm_of.push(vms.len());
            vms.push(runtime.vm(said, &said.declared[index], &plugins[index])?);
        } else {
            vm_of.push(vm_of[first]);
        }
    }
    Ok((vms, vm_of))
}

/// Reads the certificates, with the rights of the master.
fn tls(settings: &TlsSettings, verify: bool, cf: Conf) -> Result<Rc<Tls>, Fault> {
    let verify = Verify {
        enabled: verify,
        depth: settings.verify_depth.unwrap_or(1),
        trusted: settings.trusted_certificate.as_deref(),
    };
    let fault =
        || Fault { message: "proxy_wasm: TLS for outgoing calls could not be set up".to_owned(), place: String::new() };
    Ok(Rc::new(Tls::new(cf, &verify).ok_or_else(fault)?))
}
