//! `#[derive(Schema)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DataEnum, DataStruct, DeriveInput, Error, Fields, GenericParam, Generics, Ident, Member,
    Path, Result, Type, parse_quote,
};

use crate::attrs::{Options, reprs};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let options = Options::of_type(&input.attrs)?;
    let name = options.name(&input.ident)?;
    match &input.data {
        Data::Struct(data) => expand_struct(input, data, &options.krate(), &name),
        Data::Enum(data) => expand_enum(input, data, &options.krate(), &name),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union has no schema: its bytes do not say which field they are",
        )),
    }
}

fn expand_struct(
    input: &DeriveInput,
    data: &DataStruct,
    krate: &Path,
    name: &str,
) -> Result<TokenStream> {
    let words = reprs(&input.attrs)?;
    if !words
        .iter()
        .any(|word| word == "C" || word == "transparent" || word == "packed")
    {
        return Err(Error::new(
            input.ident.span(),
            "the order of the fields is not fixed: add `#[repr(C)]` (`#[shmkv::record]` does)",
        ));
    }
    let packed = words.iter().any(|word| word == "packed");

    let mut names = Vec::new();
    for (index, field) in data.fields.iter().enumerate() {
        refuse_without_schema(&field.ty)?;
        let options = Options::of_part(&field.attrs)?;
        let name = match &field.ident {
            Some(ident) => options.name(ident)?,
            None => options.name_of_number(index)?,
        };
        if names.contains(&name) {
            let message = format!("two fields have the name `{name}` in the schema");
            return Err(Error::new(field.span(), message));
        }
        names.push(name);
    }
    let types: Vec<&Type> = data.fields.iter().map(|field| &field.ty).collect();
    let members: Vec<Member> = data.fields.members().collect();

    // No reference to a field of a packed struct may exist: look at a copy.
    let valid = members.iter().map(|member| match packed {
        true => quote!(#krate::Schema::is_valid(&{ self.#member })),
        false => quote!(#krate::Schema::is_valid(&self.#member)),
    });

    let ident = &input.ident;
    let mut generics = input.generics.clone();
    add_bounds(&mut generics, &types, krate);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let (concrete, within) = if has_parameters(&input.generics) {
        (quote!(), no_padding(&quote!(Self), input, &types, &members))
    } else {
        (
            no_padding(&quote!(#ident), input, &types, &members),
            quote!(),
        )
    };

    Ok(quote! {
        #concrete

        #[automatically_derived]
        impl #impl_generics #krate::Schema for #ident #ty_generics #where_clause {
            fn schema() -> #krate::schema::Type {
                #within
                let fields: [(&str, #krate::schema::Type); _] =
                    [#((#names, <#types as #krate::Schema>::schema())),*];
                #krate::schema::Type::Struct(#krate::schema::Struct::new(
                    ::core::option::Option::Some(#name),
                    fields,
                ))
            }

            #[inline]
            fn is_valid(&self) -> bool {
                true #(&& #valid)*
            }
        }
    })
}

/// Fails to compile unless each field begins where the one before ends, and the last one
/// ends where the struct does: what a schema, which has no offsets, says.
fn no_padding(
    this: &TokenStream,
    input: &DeriveInput,
    types: &[&Type],
    members: &[Member],
) -> TokenStream {
    let checks = types.iter().zip(members).map(|(ty, member)| {
        quote_spanned! {ty.span()=>
            ::core::assert!(
                ::core::mem::offset_of!(#this, #member) == end,
                "there is padding before this field, or it is not in the order of declaration",
            );
            end += ::core::mem::size_of::<#ty>();
        }
    });
    let total = quote_spanned! {input.ident.span()=>
        ::core::assert!(
            end == ::core::mem::size_of::<#this>(),
            "there is padding behind the last field",
        );
    };
    let body = quote! {
        #[allow(unused_mut)]
        let mut end = 0usize;
        #(#checks)*
        #total
    };
    match has_parameters(&input.generics) {
        true => quote!(const { #body }),
        false => quote!(const _: () = { #body };),
    }
}

fn expand_enum(
    input: &DeriveInput,
    data: &DataEnum,
    krate: &Path,
    name: &str,
) -> Result<TokenStream> {
    let repr = enum_repr(input)?;
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an enum without variants has no values to store",
        ));
    }
    let mut names = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.fields.span(),
                "a variant with fields has no schema: use a struct with an enum and the fields of all variants",
            ));
        }
        let name = Options::of_part(&variant.attrs)?.name(&variant.ident)?;
        if names.contains(&name) {
            let message = format!("two variants have the name `{name}` in the schema");
            return Err(Error::new(variant.span(), message));
        }
        names.push(name);
    }
    let variants = data.variants.iter().map(|variant| &variant.ident);
    let ident = &input.ident;
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Schema for #ident #ty_generics #where_clause {
            fn schema() -> #krate::schema::Type {
                #krate::schema::Type::Enum(#krate::schema::Enum::new(
                    ::core::option::Option::Some(#name),
                    #krate::schema::Int::#repr,
                    [#((#names, Self::#variants as i128)),*],
                ))
            }
        }
    })
}

/// The schema's name of the integer in an enum's `#[repr(...)]`.
fn enum_repr(input: &DeriveInput) -> Result<Ident> {
    const KNOWN: [&str; 8] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    let words = reprs(&input.attrs)?;
    if let Some(word) = words
        .iter()
        .find(|word| *word == "usize" || *word == "isize")
    {
        return Err(width_differs(word));
    }
    match words
        .iter()
        .find(|word| KNOWN.iter().any(|known| *word == known))
    {
        Some(word) => Ok(Ident::new(&word.to_string().to_uppercase(), word.span())),
        None => Err(Error::new(
            input.ident.span(),
            "the size of the enum is not fixed: add `#[repr(u8)]` or another integer of up to 64 bits \
             (`#[shmkv::record]` adds `u8`)",
        )),
    }
}

/// What certainly has no schema is refused here, where the message can say more than an
/// unsatisfied bound would. (An alias gets past, and is left to the bound.)
fn refuse_without_schema(ty: &Type) -> Result<()> {
    match ty {
        Type::Path(path) if path.qself.is_none() => match path.path.segments.last() {
            Some(last) if last.ident == "usize" || last.ident == "isize" => {
                Err(width_differs(&last.ident))
            }
            _ => Ok(()),
        },
        Type::Array(array) => refuse_without_schema(&array.elem),
        Type::Paren(paren) => refuse_without_schema(&paren.elem),
        Type::Group(group) => refuse_without_schema(&group.elem),
        Type::Reference(_) | Type::Ptr(_) | Type::BareFn(_) => Err(Error::new(
            ty.span(),
            "an address means nothing to another process: store the data itself, text as `Str<N>`",
        )),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => Err(Error::new(
            ty.span(),
            "the layout of a tuple is not fixed: use a struct",
        )),
        _ => Ok(()),
    }
}

fn width_differs(ident: &Ident) -> Error {
    let fixed = if ident == "usize" { "u64" } else { "i64" };
    let message = format!("the width of `{ident}` differs between programs: use `{fixed}`");
    Error::new(ident.span(), message)
}

/// In a generic type every field needs a schema, whatever its parameters are.
fn add_bounds(generics: &mut Generics, types: &[&Type], krate: &Path) {
    if generics.type_params().next().is_none() {
        return;
    }
    let clause = generics.make_where_clause();
    for ty in types {
        clause.predicates.push(parse_quote!(#ty: #krate::Schema));
    }
}

fn has_parameters(generics: &Generics) -> bool {
    generics
        .params
        .iter()
        .any(|param| !matches!(param, GenericParam::Lifetime(_)))
}
