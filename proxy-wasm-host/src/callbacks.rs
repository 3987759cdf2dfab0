//! The callbacks, `proxy_on_*`: their names, their types, and which of them a plugin exports.
//!
//! Spec v0.2.1, "Callbacks exposed by the Wasm module". All callbacks are optional. The callbacks
//! of TCP streams are missing here: this host gives plugins HTTP streams only.

use std::cell::OnceCell;
use std::fmt;

use wasmtime::{
    ExternType, FuncType, Instance, Module, ModuleExport, Store, TypedFunc, ValType, WasmParams, WasmResults,
};

use crate::error::Error;

/// Declares every callback once: as a variant of the enum, and as a typed function of an instance.
macro_rules! callbacks {
    ($($(#[$doc:meta])* $variant:ident $field:ident $name:literal: $type:ty,)*) => {
        /// A callback of the ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Callback { $($(#[$doc])* $variant,)* }

        impl Callback {
            /// The names of all callbacks.
            #[cfg(test)]
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name of the callback's export.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl CallbackSet {
            /// Finds the callbacks that a module exports.
            ///
            /// # Errors
            /// When an export of a callback's name is not a function, or has a type that the ABI
            /// does not define.
            pub fn of(module: &Module) -> Result<Self, Error> {
                let mut set = Self::default();
                $(if let Some(export) = module.get_export($name) {
                    check_type($name, &export, <$type>::TYPES)?;
                    set.insert(Callback::$variant);
                })*
                Ok(set)
            }
        }

        /// Where a module has its callbacks, so that no instance has to look up a name.
        pub(crate) struct Places { $($field: Place,)* }

        impl Places {
            pub fn of(module: &Module) -> Self {
                Self { $($field: Place::of(module, $name),)* }
            }

            /// The place of a callback.
            pub fn get(&self, callback: Callback) -> Option<ModuleExport> {
                match callback { $(Callback::$variant => self.$field.export,)* }
            }
        }

        /// The callbacks of an instance.
        pub(crate) struct Callbacks { $(pub $field: $type,)* }

        impl Callbacks {
            pub fn of(instance: Instance, places: &Places) -> Self {
                Self { $($field: <$type>::at(instance, places.$field),)* }
            }
        }
    };
}

callbacks! {
    /// "Context lifecycle": a context is created.
    OnContextCreate on_context_create "proxy_on_context_create": Export<(u32, u32), ()>,
    /// "Context lifecycle": the host has finished with a context.
    OnDone on_done "proxy_on_done": Export<u32, u32>,
    /// "Context lifecycle": the plugin may log what happened.
    OnLog on_log "proxy_on_log": Export<u32, ()>,
    /// "Context lifecycle": a context is deleted.
    OnDelete on_delete "proxy_on_delete": Export<u32, ()>,
    /// "Configuration": the VM starts.
    OnVmStart on_vm_start "proxy_on_vm_start": Export<(u32, u32), u32>,
    /// "Configuration": the plugin starts.
    OnConfigure on_configure "proxy_on_configure": Export<(u32, u32), u32>,
    /// "Timers".
    OnTick on_tick "proxy_on_tick": Export<u32, ()>,
    /// "HTTP streams": request headers.
    OnRequestHeaders on_request_headers "proxy_on_request_headers": HeadersExport,
    /// "HTTP streams": a part of the request body.
    OnRequestBody on_request_body "proxy_on_request_body": Export<(u32, u32, u32), i32>,
    /// "HTTP streams": request trailers.
    OnRequestTrailers on_request_trailers "proxy_on_request_trailers": Export<(u32, u32), i32>,
    /// "HTTP streams": response headers.
    OnResponseHeaders on_response_headers "proxy_on_response_headers": HeadersExport,
    /// "HTTP streams": a part of the response body.
    OnResponseBody on_response_body "proxy_on_response_body": Export<(u32, u32, u32), i32>,
    /// "HTTP streams": response trailers.
    OnResponseTrailers on_response_trailers "proxy_on_response_trailers": Export<(u32, u32), i32>,
    /// "HTTP calls".
    OnHttpCallResponse on_http_call_response "proxy_on_http_call_response": Export<(u32, u32, u32, u32, u32), ()>,
    /// Higress's Redis calls. It is not of the spec.
    OnRedisCallResponse on_redis_call_response "proxy_on_redis_call_response": Export<(u32, u32, u32, u32), ()>,
    /// "gRPC calls": initial metadata.
    OnGrpcReceiveInitialMetadata on_grpc_receive_initial_metadata
        "proxy_on_grpc_receive_initial_metadata": Export<(u32, u32, u32), ()>,
    /// "gRPC calls": a message.
    OnGrpcReceive on_grpc_receive "proxy_on_grpc_receive": Export<(u32, u32, u32), ()>,
    /// "gRPC calls": trailing metadata.
    OnGrpcReceiveTrailingMetadata on_grpc_receive_trailing_metadata
        "proxy_on_grpc_receive_trailing_metadata": Export<(u32, u32, u32), ()>,
    /// "gRPC calls": the end.
    OnGrpcClose on_grpc_close "proxy_on_grpc_close": Export<(u32, u32, u32), ()>,
    /// "Shared Queues".
    OnQueueReady on_queue_ready "proxy_on_queue_ready": Export<(u32, u32), ()>,
    /// "Foreign function interface".
    OnForeignFunction on_foreign_function "proxy_on_foreign_function": Export<(u32, u32, u32), ()>,
}

/// The set of callbacks that a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackSet(u32);

impl CallbackSet {
    /// Returns whether the set has this callback.
    #[inline]
    pub fn contains(self, callback: Callback) -> bool {
        self.0 & (1 << callback as u32) != 0
    }

    /// Returns the callbacks that are in either set.
    #[inline]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn insert(&mut self, callback: Callback) {
        self.0 |= 1 << callback as u32;
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a module has a callback.
#[derive(Clone, Copy)]
struct Place {
    /// `None` if the module does not export the callback.
    export: Option<ModuleExport>,
    /// The number of its parameters.
    params: usize,
}

impl Place {
    fn of(module: &Module, name: &str) -> Self {
        let params = module.get_export(name).and_then(|export| export.func().map(|function| function.params().len()));
        Self { export: module.get_export_index(name), params: params.unwrap_or_default() }
    }
}

/// One callback of an instance. Its function is looked up when it is called first: of the callbacks
/// of an instance that is restored for one request, most are never called.
pub(crate) struct Export<P, R> {
    instance: Instance,
    place: Place,
    function: OnceCell<TypedFunc<P, R>>,
}

impl<P: WasmParams + Arity, R: WasmResults + Arity> Export<P, R> {
    /// The accepted types, as numbers of parameters and results: all values are `i32`.
    const TYPES: &[(usize, usize)] = &[(P::ARITY, R::ARITY)];

    fn at(instance: Instance, place: Place) -> Self {
        Self { instance, place, function: OnceCell::new() }
    }

    /// Calls the callback; returns `missing` if the plugin does not have it.
    #[inline]
    pub fn call<T>(&self, store: &mut Store<T>, params: P, missing: R) -> wasmtime::Result<R> {
        if let Some(function) = self.function.get() {
            return function.call(store, params);
        }
        match self.place.export {
            Some(export) => self.find(store, &export)?.call(store, params),
            None => Ok(missing),
        }
    }

    /// The type was checked when the plugin was loaded ([`CallbackSet::of`]).
    #[cold]
    fn find<T>(&self, store: &mut Store<T>, export: &ModuleExport) -> wasmtime::Result<&TypedFunc<P, R>> {
        let function = typed(&self.instance, store, export)?;
        Ok(self.function.get_or_init(|| function))
    }
}

/// `proxy_on_request_headers` and `proxy_on_response_headers`. ABI 0.1.0 defines both without
/// `end_of_stream`.
pub(crate) enum HeadersExport {
    WithoutEnd(Export<(u32, u32), i32>),
    WithEnd(Export<(u32, u32, u32), i32>),
}

impl HeadersExport {
    const TYPES: &[(usize, usize)] = &[(3, 1), (2, 1)];

    fn at(instance: Instance, place: Place) -> Self {
        match place.params {
            2 => Self::WithoutEnd(Export::at(instance, place)),
            _ => Self::WithEnd(Export::at(instance, place)),
        }
    }

    #[inline]
    pub fn call<T>(&self, store: &mut Store<T>, params: (u32, u32, u32), missing: i32) -> wasmtime::Result<i32> {
        match self {
            Self::WithEnd(export) => export.call(store, params, missing),
            Self::WithoutEnd(export) => export.call(store, (params.0, params.1), missing),
        }
    }
}

/// The function of an instance at a place of its module.
///
/// # Errors
/// When the function has another type.
pub(crate) fn typed<P: WasmParams, R: WasmResults, T>(
    instance: &Instance,
    store: &mut Store<T>,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let function = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    function.ok_or_else(|| wasmtime::Error::msg("an export is not a function"))?.typed(&*store)
}

/// The number of WebAssembly values in a Rust parameter or result type.
pub(crate) trait Arity {
    const ARITY: usize;
}

macro_rules! arity {
    ($($type:ty => $arity:literal,)*) => { $(impl Arity for $type { const ARITY: usize = $arity; })* };
}

arity! {
    () => 0,
    u32 => 1,
    i32 => 1,
    (u32, u32) => 2,
    (u32, u32, u32) => 3,
    (u32, u32, u32, u32) => 4,
    (u32, u32, u32, u32, u32) => 5,
}

fn check_type(name: &str, export: &ExternType, types: &[(usize, usize)]) -> Result<(), Error> {
    let Some(function) = export.func() else {
        return Err(Error::Plugin(format!("exports {name}, but not as a function")));
    };
    if types.iter().any(|(params, results)| is_of(function, *params, *results)) {
        return Ok(());
    }
    let expected: Vec<_> = types.iter().map(|(params, results)| signature("i32", *params, *results)).collect();
    Err(Error::Plugin(format!("exports {name} with type {}, not {}", Signature(function), expected.join(" or "))))
}

/// Whether a module exports a function of that name, with so many parameters and results, all `i32`.
pub(crate) fn is_function(module: &Module, name: &str, (params, results): (usize, usize)) -> bool {
    module.get_export(name).is_some_and(|export| export.func().is_some_and(|ty| is_of(ty, params, results)))
}

fn is_of(function: &FuncType, params: usize, results: usize) -> bool {
    let mut types = function.params().chain(function.results());
    function.params().len() == params
        && function.results().len() == results
        && types.all(|ty| matches!(ty, ValType::I32))
}

fn signature(ty: &str, params: usize, results: usize) -> String {
    format!("({}) -> {}", vec![ty; params].join(", "), if results == 0 { "()" } else { ty })
}

/// A function's type in the form that error messages show: `(i32, i32) -> i32`.
pub(crate) struct Signature<'a>(pub &'a FuncType);

impl fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<_> = self.0.params().map(|ty| ty.to_string()).collect();
        let results: Vec<_> = self.0.results().map(|ty| ty.to_string()).collect();
        write!(f, "({}) -> ", params.join(", "))?;
        match results.as_slice() {
            [] => f.write_str("()"),
            [one] => f.write_str(one),
            many => write!(f, "({})", many.join(", ")),
        }
    }
}
