//! Stops panics before they reach C: every `extern "C"` function of this module does its work in
//! [`guard`], and so do those of ngx-bindings, whose function this is.

pub use ngx_bindings::guard::guard;
