//! `#[record]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, LitStr, Path, Result, Token, parse_quote};

use crate::attrs::{RecordOptions, reprs};

pub(crate) fn expand(options: RecordOptions, item: DeriveInput) -> Result<TokenStream> {
    let RecordOptions { krate } = options;
    if let Data::Union(data) = &item.data {
        let message = "a union cannot be a record: its bytes do not say which field they are";
        return Err(Error::new(data.union_token.span, message));
    }

    let there = derived(&item.attrs)?;
    let mut derives: Vec<Path> = Vec::new();
    for name in ["Clone", "Copy"] {
        if !there.iter().any(|it| it == name) {
            let name = quote::format_ident!("{name}");
            derives.push(parse_quote!(::core::prelude::v1::#name));
        }
    }
    // Deriving either of the stronger traits implements the weaker one too.
    let implies = |name: &str, it: &str| {
        it == name || name == "TryFromBytes" && matches!(it, "FromBytes" | "FromZeros")
    };
    for name in ["TryFromBytes", "IntoBytes", "Immutable", "KnownLayout"] {
        if !there.iter().any(|it| implies(name, it)) {
            let name = quote::format_ident!("{name}");
            derives.push(parse_quote!(#krate::zerocopy::#name));
        }
    }
    if !there.iter().any(|it| it == "Schema") {
        derives.push(parse_quote!(#krate::Schema));
    }

    let repr = match (&item.data, reprs(&item.attrs)?.is_empty()) {
        (_, false) => quote!(),
        (Data::Enum(_), true) => quote!(#[repr(u8)]),
        (_, true) => quote!(#[repr(C)]),
    };
    let zerocopy = match item
        .attrs
        .iter()
        .any(|attr| attr.path().is_ident("zerocopy"))
    {
        true => quote!(),
        false => {
            let path: String = quote!(#krate::zerocopy)
                .to_string()
                .split_whitespace()
                .collect();
            let path = LitStr::new(&path, proc_macro2::Span::call_site());
            quote!(#[zerocopy(crate = #path)])
        }
    };
    let shmkv = match item.attrs.iter().any(is_shmkv_with_crate) {
        true => quote!(),
        false => quote!(#[shmkv(crate = #krate)]),
    };
    let item = item.into_token_stream();
    Ok(quote! {
        #[derive(#(#derives),*)]
        #zerocopy
        #shmkv
        #repr
        #item
    })
}

/// Last words of the paths in the item's `#[derive(...)]` attributes.
fn derived(attrs: &[Attribute]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        for path in attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)? {
            names.extend(path.segments.last().map(|last| last.ident.to_string()));
        }
    }
    Ok(names)
}

/// Whether the attribute names the path of the crate itself.
fn is_shmkv_with_crate(attr: &Attribute) -> bool {
    let mut found = false;
    if attr.path().is_ident("shmkv") {
        // Errors are reported by the derive, which reads the attribute again.
        let _ = attr.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("crate");
            meta.value()
                .and_then(|value| value.parse::<TokenStream>())
                .map(drop)
        });
    }
    found
}
