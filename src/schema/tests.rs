//! What is shown here:
//!
//! * the written form and the tree are two views of one thing, for random trees;
//! * no text makes the parser panic, recurse without bound or allocate much;
//! * the limits and rules are kept by parser and `check` alike;
//! * comparison finds what differs and nothing else;
//! * `validate` accepts exactly the bytes of values, and values survive JSON.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;

const QUOTE: &str = "struct Quote { bid: f64, ask: f64, side: enum Side: u8 { Bid = 0, Ask = 1 }, \
                     tags: [u8; 4], name: Str<16> }";

fn parse(text: &str) -> Type {
    Type::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refusal(text: &str) -> ParseError {
    match Type::parse(text) {
        Ok(ty) => panic!("{text} was read as {ty}"),
        Err(e) => e,
    }
}

fn int() -> impl Strategy<Value = Int> {
    proptest::sample::select(&Int::ALL[..])
}

fn name() -> impl Strategy<Value = String> {
    // Keywords are no exception: a field may be called `struct`.
    prop_oneof![
        "[A-Za-z_][A-Za-z0-9_]{0,8}",
        Just("struct".into()),
        Just("größe".into())
    ]
}

fn enumeration() -> impl Strategy<Value = Type> {
    let repr = int().prop_filter("Rust has no such enums", |int| int.bits() <= 64);
    let numbers = btree_map(name(), any::<i64>(), 1..6);
    (proptest::option::of(name()), repr, numbers).prop_map(|(name, repr, numbers)| {
        let mut seen = std::collections::HashSet::new();
        let variants = numbers.into_iter().filter_map(|(name, number)| {
            let number = if repr.holds(number.into()) {
                i128::from(number)
            } else {
                i128::from(number & 0x7f)
            };
            seen.insert(number).then_some((name, number))
        });
        Type::Enum(Enum::new(name.as_deref(), repr, variants))
    })
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Unit),
        Just(Type::Bool),
        Just(Type::Char),
        Just(Type::F32),
        Just(Type::F64),
        int().prop_map(Type::Int),
        int().prop_map(Type::NonZero),
        (0..20usize).prop_map(Type::Str),
        (0..20usize).prop_map(Type::Bytes),
        enumeration(),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let named = btree_set(name(), 0..5).prop_map(Vec::from_iter);
        let numbered = (0..5usize).prop_map(|n| (0..n).map(|i| i.to_string()).collect());
        let names = prop_oneof![named, numbered];
        prop_oneof![
            (inner.clone(), 0..4usize).prop_map(|(ty, len)| Type::Array {
                element: Box::new(ty),
                len
            }),
            (proptest::option::of(name()), names, vec(inner, 5)).prop_map(
                |(name, names, types): (_, Vec<String>, _)| {
                    Type::Struct(Struct::new(name.as_deref(), names.into_iter().zip(types)))
                }
            ),
        ]
    })
}

/// Text that goes wrong late: words of the written form in any order.
fn almost_schema() -> impl Strategy<Value = String> {
    let words = proptest::sample::select(vec![
        "struct",
        "enum",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">",
        "(",
        ")",
        ":",
        ";",
        ",",
        "=",
        "-",
        "u8",
        "f64",
        "Str",
        "Bytes",
        "NonZero",
        "a",
        "b",
        "0",
        "1",
        "99999999999999999999999",
        "usize",
        " ",
        "é",
        "\0",
    ]);
    vec(words, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn printed_schema_parses_to_the_same_tree(ty in any_type()) {
        prop_assert_eq!(ty.check(), Ok(()));
        prop_assert_eq!(&parse(&ty.to_string()), &ty);
        prop_assert_eq!(&parse(&format!("{ty:#}")), &ty);
        prop_assert_eq!(ty.mismatch(&ty), None);
    }

    #[test]
    fn parser_survives_any_text(text in any::<String>()) {
        let _ = Type::parse(&text);
    }

    #[test]
    fn canonical_form_is_a_fixed_point(text in almost_schema()) {
        if let Ok(ty) = Type::parse(&text) {
            prop_assert_eq!(ty.check(), Ok(()));
            prop_assert_eq!(parse(&ty.to_string()).to_string(), ty.to_string());
        }
    }

    #[test]
    fn parser_survives_damage(ty in any_type(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut chars: Vec<char> = ty.to_string().chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        let text: String = chars.iter().collect();
        if let Err(e) = Type::parse(&text) {
            prop_assert!(e.position() <= text.len() && text.is_char_boundary(e.position()));
        }
        chars.truncate(at);
        let _ = Type::parse(&String::from_iter(chars));
    }

    #[test]
    fn schemas_differ_unless_their_text_is_equal_but_for_missing_names(a in any_type(), b in any_type()) {
        prop_assert_eq!(a.mismatch(&b).is_none(), alike(&a, &b));
        prop_assert_eq!(a.differences(&b).len(), b.differences(&a).len());
    }

    #[test]
    fn change_of_one_field_is_found(ty in any_type(), other in any_type()) {
        let wrap = |ty: &Type| Type::Struct(Struct::new(None, [
            ("a", Type::Bool), ("b", ty.clone()), ("c", Type::F64),
        ]));
        let differences = wrap(&ty).differences(&wrap(&other));
        prop_assert_eq!(differences.is_empty(), alike(&ty, &other));
        for difference in differences {
            let subject = difference.subject();
            prop_assert!(subject == "size" || subject.starts_with("field `b"), "{}", subject);
        }
    }

    #[test]
    fn random_bytes_never_panic_and_valid_ones_survive_json(
        ty in any_type(),
        seed in vec(any::<u8>(), 1..200),
    ) {
        let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(ty.size()).collect();
        survives(&ty, &bytes)?;
        survives_as_a_tree(&ty, &bytes)?;
        make_valid(&ty, &mut bytes);
        // A struct or array may hold an empty array of anything: all of them are valid now.
        prop_assert_eq!(ty.validate(&bytes), Ok(()));
        survives(&ty, &bytes)?;
        survives_as_a_tree(&ty, &bytes)?;
        bytes.push(0);
        prop_assert!(ty.validate(&bytes).is_err());
    }
}

#[cfg(feature = "json")]
fn survives(ty: &Type, bytes: &[u8]) -> Result<(), TestCaseError> {
    match ty.validate(bytes) {
        Ok(()) => {
            let json = to_json(ty, bytes).unwrap();
            prop_assert_eq!(&from_json(ty, &json).unwrap(), bytes);
            let text = json.to_string();
            let mut written = b"before".to_vec();
            super::write_json(ty, bytes, &mut written).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), format!("before{text}"));
            // What is printed for a script is what a script may write.
            prop_assert_eq!(&from_json(ty, &text.parse().unwrap()).unwrap(), bytes);
            prop_assert_eq!(&parse_value(ty, &text).unwrap(), bytes, "{}", text);
        }
        Err(e) => {
            let mut written = Vec::new();
            prop_assert_eq!(super::write_json(ty, bytes, &mut written), Err(e.clone()));
            prop_assert!(written.is_empty());
            prop_assert_eq!(to_json(ty, bytes), Err(e));
        }
    }
    Ok(())
}

#[cfg(not(feature = "json"))]
fn survives(ty: &Type, bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = ty.validate(bytes);
    Ok(())
}

/// The definition of a match, written without a care for messages.
fn alike(a: &Type, b: &Type) -> bool {
    let names = |a: Option<&str>, b: Option<&str>| a.is_none() || b.is_none() || a == b;
    match (a, b) {
        (Type::Struct(a), Type::Struct(b)) => {
            let fields = a.fields().iter().zip(b.fields());
            names(a.name(), b.name())
                && a.fields().len() == b.fields().len()
                && fields
                    .into_iter()
                    .all(|(a, b)| a.name() == b.name() && alike(a.ty(), b.ty()))
        }
        (Type::Enum(a), Type::Enum(b)) => {
            let all = |a: &Enum, b: &Enum| {
                a.variants().iter().all(|it| {
                    b.variant(it.name())
                        .is_some_and(|o| o.discriminant() == it.discriminant())
                })
            };
            names(a.name(), b.name()) && a.repr() == b.repr() && all(a, b) && all(b, a)
        }
        (Type::Array { element: a, len: m }, Type::Array { element: b, len: n }) => {
            m == n && alike(a, b)
        }
        (a, b) => a == b,
    }
}

/// Changes as few bytes as it takes to make a value of the type.
fn survives_as_a_tree(ty: &Type, bytes: &[u8]) -> Result<(), TestCaseError> {
    match ty.validate(bytes) {
        Ok(()) => {
            let datum = Datum::decode(ty, bytes).unwrap();
            prop_assert_eq!(&datum.encode(ty).unwrap(), bytes, "{}", datum);
        }
        Err(e) => prop_assert_eq!(Datum::decode(ty, bytes), Err(e)),
    }
    Ok(())
}

fn make_valid(ty: &Type, bytes: &mut [u8]) {
    match ty {
        Type::Bool => bytes[0] &= 1,
        Type::Char => {
            let code = u32::from_ne_bytes(bytes.try_into().unwrap());
            let c = char::from_u32(code)
                .or(char::from_u32(code & 0xffff))
                .unwrap_or('ß');
            bytes.copy_from_slice(&u32::from(c).to_ne_bytes());
        }
        Type::NonZero(_) if bytes.iter().all(|&b| b == 0) => bytes[0] = 1,
        Type::Str(max) | Type::Bytes(max) => {
            let len = usize::from(bytes[0]) % (max + 1);
            bytes[..2].copy_from_slice(&(len as u16).to_le_bytes());
            bytes[2 + len..].fill(0);
            if matches!(ty, Type::Str(_)) {
                bytes[2..].iter_mut().for_each(|b| *b &= 0x7f);
            }
        }
        Type::Enum(it) => {
            let pick = usize::from(bytes[0]) % it.variants().len();
            let number = it.variants()[pick].discriminant().to_le_bytes();
            let size = bytes.len();
            bytes.copy_from_slice(&number[..size]);
            if cfg!(target_endian = "big") {
                bytes.reverse();
            }
        }
        Type::Array { element, .. } if element.size() > 0 => {
            bytes
                .chunks_exact_mut(element.size())
                .for_each(|it| make_valid(element, it));
        }
        Type::Struct(it) => {
            for field in it.fields() {
                make_valid(
                    field.ty(),
                    &mut bytes[field.offset()..][..field.ty().size()],
                );
            }
        }
        _ => {}
    }
}

#[test]
fn canonical_form_is_as_documented() {
    let quote = parse(QUOTE);
    assert_eq!(quote.to_string(), QUOTE);
    assert_eq!(quote.size(), 8 + 8 + 1 + 4 + 18);
    let Type::Struct(it) = &quote else { panic!() };
    let offsets: Vec<_> = it.fields().iter().map(|field| field.offset()).collect();
    assert_eq!(offsets, [0, 8, 16, 17, 21]);
    assert_eq!(
        format!("{quote:#}"),
        "struct Quote {\n    bid: f64,\n    ask: f64,\n    side: enum Side: u8 {\n        Bid = 0,\n        \
         Ask = 1,\n    },\n    tags: [u8; 4],\n    name: Str<16>,\n}",
    );
    assert_eq!(parse("struct{}").to_string(), "struct {}");
    assert_eq!(parse("struct E { }").to_string(), "struct E {}");
    assert_eq!(
        parse("[struct P{0:u8,1:NonZero< i128 >,};3]").to_string(),
        "[struct P { 0: u8, 1: NonZero<i128> }; 3]"
    );
    assert_eq!(parse("( )").to_string(), "()");
}

#[test]
fn omitted_discriminants_count_like_in_rust() {
    let text = "enum: i8 { A, B = -5, C, D = 100, E }";
    assert_eq!(
        parse(text).to_string(),
        "enum: i8 { A = 0, B = -5, C = -4, D = 100, E = 101 }"
    );
}

#[test]
fn parser_says_where_and_what() {
    let e = refusal("struct Quote { bid: f46 }");
    assert_eq!(
        (e.position(), e.expected(), e.found()),
        (20, "a type", "`f46`")
    );
    assert_eq!(
        e.to_string(),
        "not a schema: at byte 20, expected a type, found `f46`"
    );

    for (text, position, expected, found) in [
        ("", 0, "a type", "the end of the text"),
        ("u8 u8", 3, "the end of the text", "`u8`"),
        (
            "usize",
            0,
            "an integer of a fixed width (its width differs between programs)",
            "`usize`",
        ),
        ("struct { a: u8 b: u8 }", 15, "`,` or `}`", "`b`"),
        ("struct { a: u8, a: u8 }", 16, "another field", "`a` again"),
        ("struct { 01: u8 }", 9, "the number of a field", "`01`"),
        ("enum: u8 {}", 10, "the name of a variant", "`}`"),
        ("enum: u8 { A, A }", 14, "another variant", "`A` again"),
        (
            "enum: u8 { A = 1, B = 1 }",
            22,
            "another discriminant",
            "`1` again",
        ),
        (
            "enum: u8 { A = 256 }",
            15,
            "a discriminant that fits into u8",
            "256",
        ),
        (
            "enum: u8 { A = 255, B }",
            20,
            "a discriminant that fits into u8",
            "256",
        ),
        (
            "enum: i8 { A = -129 }",
            15,
            "a discriminant that fits into i8",
            "-129",
        ),
        (
            "enum: u128 { A }",
            6,
            "an integer of at most 64 bits",
            "`u128`",
        ),
        (
            "enum: f32 { A }",
            6,
            "an integer type such as `u32`",
            "`f32`",
        ),
        ("Str<65536>", 4, "a number up to 65535", "`65536`"),
        ("[u8; -1]", 5, "a number", "`-`"),
        (
            "[u8; 99999999999999999999]",
            5,
            "a number up to 1048576",
            "`99999999999999999999`",
        ),
        ("\u{202e}", 0, "a type", "`\\u{202e}`"),
        ("u8\0", 2, "the end of the text", "`\\0`"),
    ] {
        let e = refusal(text);
        assert_eq!(
            (e.position(), e.expected(), e.found()),
            (position, expected, found),
            "{text}"
        );
    }
}

#[test]
fn parser_keeps_every_limit() {
    let nested = |depth: usize| format!("{}u8{}", "[".repeat(depth - 1), ";1]".repeat(depth - 1));
    parse(&nested(limits::DEPTH));
    assert_eq!(
        refusal(&nested(limits::DEPTH + 1)).expected(),
        "at most 16 types inside each other"
    );
    // Without a bound on depth this would overflow the stack.
    refusal(&"[".repeat(limits::TEXT));

    let fields = |n: usize| {
        format!(
            "struct{{{}}}",
            (0..n).map(|i| format!("{i}:u8,")).collect::<String>()
        )
    };
    parse(&fields(limits::NODES - 1));
    assert_eq!(
        refusal(&fields(limits::NODES)).expected(),
        "at most 1024 types and variants"
    );
    let variants = |n: usize| {
        format!(
            "enum:u16{{{}}}",
            (0..n).map(|i| format!("a{i},")).collect::<String>()
        )
    };
    parse(&variants(limits::NODES - 1));
    refusal(&variants(limits::NODES));

    parse(&format!("[u8; {}]", limits::SIZE));
    refusal(&format!("[u8; {}]", limits::SIZE + 1));
    refusal("[[u8; 1024]; 1025]");
    refusal("[[[u128; 1048576]; 1048576]; 1048576]");
    // Billions of values in no bytes at all.
    refusal("[[(); 1048576]; 1048576]");
    refusal("[[struct {}; 1048576]; 2]");
    refusal("[[u8; 1048577]; 0]");

    parse(&format!("struct {} {{}}", "x".repeat(limits::NAME)));
    refusal(&format!("struct {} {{}}", "x".repeat(limits::NAME + 1)));

    parse(&format!("u8{}", " ".repeat(limits::TEXT - 2)));
    assert_eq!(
        refusal(&format!("u8{}", " ".repeat(limits::TEXT))).position(),
        limits::TEXT
    );
    // Short to write, too long to print.
    let name = "n".repeat(120);
    let text = format!(
        "enum:u8{{{}}}",
        (0..130).map(|i| format!("{name}{i},")).collect::<String>()
    );
    assert!(text.len() < limits::TEXT);
    assert!(refusal(&text).found().contains("longer than 16384 bytes"));
}

#[test]
fn check_refuses_what_could_not_be_read_again() {
    let field = |name: &str, ty| Type::Struct(Struct::new(None, [(name, ty)]));
    let variants = |repr, list: &[(&str, i128)]| {
        Type::Enum(Enum::new(None, repr, list.iter().copied()))
            .check()
            .unwrap_err()
    };
    assert_eq!(
        field("a b", Type::Bool).check(),
        Err(Unfit::BadName("a b".into()))
    );
    assert_eq!(
        field("", Type::Bool).check(),
        Err(Unfit::BadName(String::new()))
    );
    assert_eq!(
        field("007", Type::Bool).check(),
        Err(Unfit::BadName("007".into()))
    );
    assert_eq!(
        field("a", Type::Str(65_536)).check(),
        Err(Unfit::InlineTooLong(65_536))
    );
    let huge = Type::Array {
        element: Box::new(Type::F64),
        len: usize::MAX,
    };
    assert_eq!(huge.size(), usize::MAX);
    assert_eq!(field("a", huge).check(), Err(Unfit::TooLarge));
    let twice = Struct::new(None, [("a", Type::Bool), ("a", Type::Bool)]);
    assert_eq!(
        Type::Struct(twice).check(),
        Err(Unfit::DuplicateName("a".into()))
    );
    assert_eq!(variants(Int::U8, &[]), Unfit::NoVariants);
    assert_eq!(variants(Int::U128, &[("A", 0)]), Unfit::BadRepr(Int::U128));
    assert_eq!(
        variants(Int::U8, &[("A", 0), ("A", 1)]),
        Unfit::DuplicateName("A".into())
    );
    assert_eq!(
        variants(Int::U8, &[("A", 7), ("B", 7)]),
        Unfit::DuplicateDiscriminant(7)
    );
    assert_eq!(
        variants(Int::I8, &[("A", 128)]),
        Unfit::DiscriminantOutOfRange {
            discriminant: 128,
            repr: Int::I8
        },
    );
    let mut deep = Type::Bool;
    for _ in 0..limits::DEPTH {
        deep = field("a", deep);
    }
    assert_eq!(deep.check(), Err(Unfit::TooDeep));
}

#[test]
fn schema_of_another_size_than_its_type_is_refused() {
    struct Liar;
    impl Schema for Liar {
        fn schema() -> Type {
            Type::F64
        }
    }
    assert_eq!(of::<Liar>(), Err(Unfit::WrongSize { schema: 8, rust: 0 }));
    assert_eq!(of::<[u16; 3]>().unwrap().to_string(), "[u16; 3]");
}

#[test]
fn mismatch_shows_both_schemas_and_what_differs() {
    let stored =
        parse("struct Quote { bid: f64, ask: f64, at: u64, side: enum Side: u8 { Bid, Ask } }");
    let program = parse(
        "struct Quote { bid: f64, ask: f32, side: enum Side: u8 { Bid, Ask = 2, Both }, id: Str<8> }",
    );
    let mismatch = stored.mismatch(&program).unwrap();
    assert_eq!(
        mismatch.to_string(),
        "segment holds `struct Quote { bid: f64, ask: f64, at: u64, side: enum Side: u8 { Bid = 0, Ask = 1 } }`, \
         25 bytes;\n\
         this program uses `struct Quote { bid: f64, ask: f32, side: enum Side: u8 { Bid = 0, Ask = 2, Both = 3 }, \
         id: Str<8> }`, 23 bytes;\n\
         they differ in:\n  \
         size: 25 bytes in the segment, 23 bytes in this program\n  \
         field `ask`: f64 in the segment, f32 in this program\n  \
         field `at`: u64 in the segment, absent in this program\n  \
         field `side`, variant `Ask`: 1 in the segment, 2 in this program\n  \
         field `side`, variant `Both`: absent in the segment, 3 in this program\n  \
         field `id`: absent in the segment, Str<8> in this program",
    );
}

#[test]
fn names_matter_unless_one_side_has_none() {
    let quote = parse("struct Quote { bid: f64 }");
    assert_eq!(quote.mismatch(&parse("struct { bid: f64 }")), None);
    assert_eq!(parse("struct { bid: f64 }").mismatch(&quote), None);
    let other = quote.mismatch(&parse("struct Trade { bid: f64 }")).unwrap();
    let difference = "type: struct Quote in the segment, struct Trade in this program";
    assert_eq!(
        other
            .differences()
            .iter()
            .map(|d| d.to_string())
            .collect::<Vec<_>>(),
        [difference]
    );
    assert_eq!(
        parse("enum A: u8 { X }").mismatch(&parse("enum: u8 { X }")),
        None
    );
    assert!(
        parse("enum A: u8 { X }")
            .mismatch(&parse("enum B: u8 { X }"))
            .is_some()
    );
}

#[test]
fn another_order_of_fields_is_a_difference() {
    let (ab, ba) = (
        parse("struct { a: u8, b: u8 }"),
        parse("struct { b: u8, a: u8 }"),
    );
    let differences = ab.differences(&ba);
    assert_eq!(
        differences[0].to_string(),
        "field `a`: in place 1 in the segment, 2 in this program"
    );
    // A new field in front moves the others, which is not news.
    let xab = parse("struct { x: u8, a: u8, b: u8 }");
    let subjects: Vec<_> = ab
        .differences(&xab)
        .iter()
        .map(|d| d.subject().to_owned())
        .collect();
    assert_eq!(subjects, ["size", "field `x`"]);
}

#[test]
fn mismatch_of_hostile_schemas_stays_readable() {
    let many = |letter: char| {
        let fields: String = (0..900).map(|i| format!("{letter}{i}: u8, ")).collect();
        parse(&format!("struct {{ {fields} }}"))
    };
    let mismatch = many('a').mismatch(&many('b')).unwrap();
    assert_eq!(mismatch.differences().len(), 1800);
    assert!(mismatch.to_string().ends_with("and 1788 more"));
}

#[test]
fn validate_names_the_field_with_invalid_bytes() {
    let ty = parse(
        "struct { flags: [struct { on: bool }; 2], c: char, side: enum: i16 { Bid = -2 }, s: Str<2>, n: NonZero<u8>, b: Bytes<1> }",
    );
    let mut bytes = vec![0, 1];
    bytes.extend(u32::from('x').to_ne_bytes());
    bytes.extend((-2i16).to_ne_bytes());
    bytes.extend([1, 0, b'a', 0, 7, 1, 0, 0xff]);
    assert_eq!(ty.validate(&bytes), Ok(()));
    for (at, invalid, message) in [
        (
            1,
            2,
            "invalid value in `flags[1].on`: expected bool (0 or 1), found 2",
        ),
        (
            9,
            9,
            "invalid value in `s`: expected Str<2>, found a length of 2305",
        ),
        (
            10,
            0xff,
            "invalid value in `s`: expected Str<2> of UTF-8, found other bytes at 0",
        ),
        (
            11,
            b'b',
            "invalid value in `s`: expected Str<2> with zeros behind its content, found other bytes",
        ),
        (
            12,
            0,
            "invalid value in `n`: expected a u8 other than zero, found 0",
        ),
        (
            13,
            0,
            "invalid value in `b`: expected Bytes<1> with zeros behind its content, found other bytes",
        ),
    ] {
        let mut bytes = bytes.clone();
        bytes[at] = invalid;
        assert_eq!(ty.validate(&bytes).unwrap_err().to_string(), message);
    }
    bytes[2..6].copy_from_slice(&0xd800u32.to_ne_bytes());
    let e = ty.validate(&bytes).unwrap_err();
    assert_eq!((e.path(), e.found()), ("c", "0xd800"));
    bytes[2..6].fill(0);
    bytes[6..8].copy_from_slice(&2i16.to_ne_bytes());
    let e = ty.validate(&bytes).unwrap_err();
    assert_eq!(
        (e.path(), e.expected(), e.found()),
        ("side", "enum of 1 variants", "discriminant 2")
    );
    assert!(
        ty.validate(&bytes[1..])
            .unwrap_err()
            .to_string()
            .contains("expected 16 bytes, found 15 bytes")
    );
}

#[cfg(feature = "json")]
mod json_text {
    use serde_json::{Value, json};

    use super::*;

    fn read(ty: &str, text: &str) -> Vec<u8> {
        parse_value(&parse(ty), text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn reason(ty: &str, text: &str) -> String {
        let e = parse_value(&parse(ty), text).expect_err(text);
        assert_eq!(e.schema(), &parse(ty));
        e.reason().to_string()
    }

    /// Reads and prints again.
    fn echo(ty: &str, text: &str) -> Value {
        to_json(&parse(ty), &read(ty, text)).unwrap()
    }

    #[test]
    fn integers_are_exact() {
        assert_eq!(echo("u64", "18446744073709551615"), json!(u64::MAX));
        assert_eq!(echo("i64", "-9223372036854775808"), json!(i64::MIN));
        assert_eq!(echo("u128", "7"), json!(7));
        assert_eq!(
            echo("u128", "340282366920938463463374607431768211455"),
            json!(u128::MAX.to_string())
        );
        assert_eq!(
            echo("i128", "-170141183460469231731687303715884105728"),
            json!(i128::MIN.to_string())
        );
        assert_eq!(echo("i128", "-1"), json!(-1));
        assert_eq!(echo("u32", "0x51"), json!(0x51));
        for (ty, text) in [
            ("u8", "256"),
            ("u8", "-1"),
            ("i8", "128"),
            ("i8", "-129"),
            ("u64", "18446744073709551616"),
            ("i128", "170141183460469231731687303715884105728"),
            ("u8", "1.0"),
            ("u8", "0x-1"),
            ("u8", "x"),
            ("u8", ""),
            ("u8", "true"),
        ] {
            assert!(
                reason(ty, text).starts_with(&format!("invalid value: expected {ty}, found")),
                "{ty} {text}"
            );
        }
        assert!(reason("NonZero<u8>", "0").contains("a u8 other than zero"));
    }

    #[test]
    fn floats_keep_their_bits() {
        assert_eq!(echo("f32", "0.1").to_string(), "0.1");
        assert_eq!(echo("f64", "0.1").to_string(), "0.1");
        assert_eq!(echo("f64", "-0.0").to_string(), "-0.0");
        assert_eq!(echo("f64", "3"), json!(3.0));
        for text in ["inf", "-inf", "NaN", "NaN:0xfff8000000000001"] {
            assert_eq!(echo("f64", text), json!(text));
        }
        assert_eq!(
            read("f64", "NaN:0xfff8000000000001"),
            0xfff8_0000_0000_0001u64.to_ne_bytes()
        );
        assert_eq!(echo("f32", "NaN:0xffc00001"), json!("NaN:0xffc00001"));
        assert!(reason("f32", "1e39").contains("range of f32"));
        assert!(reason("f64", "1e400").contains("a number"));
        assert!(reason("f32", "\"1e39\"").contains("range of f32"));
        assert!(reason("f64", "NaN:0x0").contains("a number"));
    }

    #[test]
    fn structs_read_as_pairs_or_json() {
        let bytes = read(
            QUOTE,
            "bid=1.5, ask=2 side=Ask tags=00ff1234 name=\"a b, c\"",
        );
        let json = r#"{"bid":1.5,"ask":2.0,"side":"Ask","tags":[0,255,18,52],"name":"a b, c"}"#;
        assert_eq!(read(QUOTE, json), bytes);
        assert_eq!(to_json(&parse(QUOTE), &bytes).unwrap().to_string(), json);
        let nested = "struct { at: struct { x: u8, y: u8 }, list: [bool; 2], b: Bytes<2> }";
        assert_eq!(
            read(nested, r#"at={"x": 1, "y": 2} list=[true, false],b=ff"#),
            [1, 2, 1, 0, 1, 0, 255, 0],
        );
    }

    #[test]
    fn misfits_are_named_and_shown_with_the_schema() {
        let ty = "struct P { x: u8, y: struct { z: [u8; 2] } }";
        for (text, message) in [
            (
                "x=1",
                "invalid value: expected a field `y`: struct of 1 fields, found none",
            ),
            (
                "x=1 x=2",
                "invalid value in `x`: expected one value, found another one",
            ),
            (
                "w=1",
                "invalid value: expected only the fields x, y, found field `w`",
            ),
            (
                "x=256",
                "invalid value in `x`: expected u8, found `\"256\"`",
            ),
            (
                r#"{"x":1,"y":{"z":[1,2]},"w":0}"#,
                "invalid value: expected only the fields x, y, found field `w`",
            ),
            (
                r#"{"x":1,"y":{"z":[1,300]}}"#,
                "invalid value in `y.z[1]`: expected u8, found `300`",
            ),
            (
                r#"{"x":1,"y":{"z":[1]}}"#,
                "invalid value in `y.z`: expected 2 elements, found 1",
            ),
            (
                "[1]",
                "invalid value: expected field=value pairs or a JSON object, found `[1]`",
            ),
        ] {
            assert_eq!(reason(ty, text), message, "{text}");
        }
        let shown = parse_value(&parse(ty), "x=1").unwrap_err().to_string();
        assert!(shown.ends_with("the schema is:\nstruct P {\n    x: u8,\n    y: struct {\n        z: [u8; 2],\n    },\n}"), "{shown}");
        assert!(reason("enum Side: u8 { Bid, Ask }", "Both").contains("one of Bid, Ask"));
        assert!(reason("Str<2>", "abc").contains("at most 2 bytes"));
        assert!(reason("Bytes<2>", "abc").contains("hexadecimal"));
        assert!(reason("char", "ab").contains("one character"));
        assert!(reason("bool", "1").contains("bool"));
    }

    #[test]
    fn bytes_are_read_as_hexadecimal_or_as_base64() {
        for ty in ["Bytes<4>", "[u8; 4]"] {
            let bytes = [0xfb, 0xef, 0xff, 0xff];
            for text in [
                "fbefffff",
                "0xFBEFFFFF",
                "base64:++///w==",
                "base64:++///w",
                // The alphabet for files and addresses.
                "base64:--___w",
                "\"base64:++///w==\"",
            ] {
                assert!(read(ty, text).ends_with(&bytes), "{ty} {text}");
            }
            for text in [
                "base64:AP++Pg=",
                "base64:AP++Pg===",
                "base64:AP++P",
                "base64:AP++Ph==",
                "base64:AP++ Pg",
                "base64:=AP++Pg",
                "base64:AP++Pg=A",
                "AP++Pg==",
                "0x00ffbe3",
                "0x0x00ffbe3e",
                "base64:AAAAAAA=",
            ] {
                assert!(reason(ty, text).contains("hexadecimal"), "{ty} {text}");
            }
        }
        // RFC 4648, section 10.
        for (text, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(echo("Bytes<6>", &format!("base64:{text}")), json!(hex));
        }
    }

    #[test]
    fn text_needs_no_quotes_and_keeps_its_spaces() {
        assert_eq!(echo("Str<16>", " a 1 "), json!(" a 1 "));
        assert_eq!(echo("Str<16>", "123"), json!("123"));
        assert_eq!(echo("Str<16>", r#""a\"b""#), json!("a\"b"));
        assert_eq!(echo("char", " "), json!(" "));
        assert_eq!(echo("char", "\""), json!("\""));
        assert_eq!(echo("()", ""), json!(null));
        assert_eq!(echo("[u8; 2]", "0aff"), json!([10, 255]));
    }

    #[test]
    fn value_that_would_fill_memory_is_refused() {
        let ty = parse(&format!("[struct {{ {}: u8 }}; 1000000]", "n".repeat(128)));
        assert!(to_json(&ty, &vec![0; ty.size()]).is_err());
        let plain = parse("[u8; 1048576]");
        assert!(to_json(&plain, &vec![0; plain.size()]).is_ok());
    }
}

#[test]
fn a_tree_that_is_no_value_of_the_type_is_refused_where_it_does_not_fit() {
    let ty = parse("struct { a: u8, b: [NonZero<i16>; 2], s: Str<3>, e: enum: u8 { On, Off } }");
    let field = |name: &str, value: Datum| (name.to_owned(), value);
    let good = || {
        vec![
            field("e", Datum::Variant("Off".into())),
            field("a", Datum::Int(255)),
            field("s", Datum::Str("abc".into())),
            field("b", Datum::Array(vec![Datum::Int(-1), Datum::Int(2)])),
        ]
    };
    let bytes = Datum::Struct(good()).encode(&ty).unwrap();
    assert_eq!(bytes.len(), ty.size());
    assert_eq!(
        Datum::decode(&ty, &bytes).unwrap().to_string(),
        "{ a: 255, b: [-1, 2], s: \"abc\", e: Off }"
    );
    let refuse = |at: usize, value: Datum, path: &str| {
        let mut fields = good();
        fields[at].1 = value;
        let error = Datum::Struct(fields).encode(&ty).unwrap_err();
        assert_eq!(error.path(), path, "{error}");
    };
    refuse(0, Datum::Variant("on".into()), "e");
    refuse(1, Datum::Int(256), "a");
    refuse(1, Datum::Bool(true), "a");
    refuse(2, Datum::Str("abcd".into()), "s");
    refuse(3, Datum::Array(vec![Datum::Int(1), Datum::Int(0)]), "b[1]");
    refuse(3, Datum::Array(vec![Datum::Int(1)]), "b");
    let mut fields = good();
    fields.push(field("x", Datum::Unit));
    assert!(Datum::Struct(fields).encode(&ty).is_err());
    let mut fields = good();
    fields.push(field("a", Datum::Int(1)));
    assert_eq!(Datum::Struct(fields).encode(&ty).unwrap_err().path(), "a");
    let mut fields = good();
    fields.remove(1);
    assert_eq!(Datum::Struct(fields).encode(&ty).unwrap_err().path(), "a");
}

#[test]
fn a_tree_holds_the_whole_range_of_128_bits() {
    for (ty, number, datum) in [
        ("u128", u128::MAX.to_ne_bytes(), Datum::Uint(u128::MAX)),
        ("i128", i128::MIN.to_ne_bytes(), Datum::Int(i128::MIN)),
        ("u128", 7_u128.to_ne_bytes(), Datum::Int(7)),
    ] {
        let ty = parse(ty);
        assert_eq!(Datum::decode(&ty, &number), Ok(datum.clone()));
        assert_eq!(datum.encode(&ty), Ok(number.to_vec()));
    }
    assert!(Datum::Int(-1).encode(&parse("u128")).is_err());
    assert!(Datum::Uint(u128::MAX).encode(&parse("i128")).is_err());
}
