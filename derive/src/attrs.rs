//! The attributes that the macros read.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitStr, Meta, Path, Result, Token, parse_quote};

/// What stands in `#[shmkv(...)]`.
#[derive(Default)]
pub(crate) struct Options {
    krate: Option<Path>,
    rename: Option<LitStr>,
}

impl Options {
    /// Reads the `shmkv` attributes of a type.
    pub(crate) fn of_type(attrs: &[Attribute]) -> Result<Self> {
        Self::read(attrs, true)
    }

    /// Reads the `shmkv` attributes of a field or a variant.
    pub(crate) fn of_part(attrs: &[Attribute]) -> Result<Self> {
        Self::read(attrs, false)
    }

    fn read(attrs: &[Attribute], of_type: bool) -> Result<Self> {
        let mut options = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("shmkv")) {
            attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    options.rename = Some(meta.value()?.parse()?);
                    Ok(())
                } else if of_type && meta.path.is_ident("crate") {
                    options.krate = Some(crate_path(meta.value()?)?);
                    Ok(())
                } else if of_type {
                    Err(meta.error("expected `crate = path` or `rename = \"name\"`"))
                } else {
                    Err(meta.error("expected `rename = \"name\"`"))
                }
            })?;
        }
        Ok(options)
    }

    /// The path of `shmkv`.
    pub(crate) fn krate(&self) -> Path {
        self.krate.clone().unwrap_or_else(|| parse_quote!(::shmkv))
    }

    /// The name in the schema of what is called `ident` in Rust.
    pub(crate) fn name(&self, ident: &Ident) -> Result<String> {
        match &self.rename {
            Some(name) => check_name(name.value(), name.span()),
            None => check_name(ident.unraw().to_string(), ident.span()),
        }
    }

    /// The name of a tuple struct's field.
    pub(crate) fn name_of_number(&self, index: usize) -> Result<String> {
        match &self.rename {
            Some(name) => check_name(name.value(), name.span()),
            None => Ok(index.to_string()),
        }
    }
}

/// The rules of the schema's written form, which the library checks again.
fn check_name(name: String, span: Span) -> Result<String> {
    let starts = name.starts_with(|c: char| c == '_' || c.is_alphabetic());
    if !starts || !name.chars().all(|c| c == '_' || c.is_alphanumeric()) {
        let message = "a name in a schema is letters, digits and underscores; \
                       choose one with `#[shmkv(rename = \"...\")]`";
        return Err(Error::new(span, message));
    }
    if name.len() > 128 {
        let message = "a name in a schema is at most 128 bytes long; \
                       choose one with `#[shmkv(rename = \"...\")]`";
        return Err(Error::new(span, message));
    }
    Ok(name)
}

/// A path, also one that is `crate` alone, with or without quotes.
fn crate_path(input: ParseStream<'_>) -> Result<Path> {
    if input.peek(LitStr) {
        return input.parse::<LitStr>()?.parse_with(Path::parse_mod_style);
    }
    input.call(Path::parse_mod_style)
}

/// What stands in `#[record(...)]`.
pub(crate) struct RecordOptions {
    pub(crate) krate: Path,
}

impl Parse for RecordOptions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Self {
                krate: parse_quote!(::shmkv),
            });
        }
        let key = input.call(Ident::parse_any)?;
        if key != "crate" {
            return Err(Error::new(key.span(), "expected `crate = path`"));
        }
        input.parse::<Token![=]>()?;
        let krate = crate_path(input)?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self { krate })
    }
}

/// One word of a `#[repr(...)]`, such as `C`, `u8` or `packed`.
pub(crate) fn reprs(attrs: &[Attribute]) -> Result<Vec<Ident>> {
    let mut words = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        for meta in attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            words.extend(meta.path().get_ident().cloned());
        }
    }
    Ok(words)
}
