use super::tests::assert_erased;
use crate::code::Code;
use crate::erase::erase;
use crate::nesting::{TEXT_MAX_BYTES, stack_bytes};
use crate::refused::Refused;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What nests, or makes the parser try in vain, when it is repeated.
const REPEATED: &[&str] = &[
    "(",
    "[",
    "{",
    "<T>",
    "`${",
    "(/*)*/",
    "(')'+",
    "[')',",
    "[/]/,",
    "{/}/;",
    "{'}'+{",
    "`${'}'+",
    "f(')'+",
    "<T/*>*/>",
    "a<",
    "a</*>*/",
    "a<b,",
    "a<<T>()=>",
    "a<<T>()=>b<<T>()=>",
    "A<B<<T>()=>",
    "a<<b",
    "a<<T>(b:",
    "a<b<<T>(c:",
    "a<<<T>b",
    "<<T>",
    "a<<T=",
    "a<<T extends ",
    "a<<T=[",
    "/'/;(",
    "a/'/+(",
    "if(a)/`/;{",
    "{/`/;}/'/;(",
    "`${a/`}'/+(`",
    "}/(/;(/'/",
    "(/[/]'/+",
    "(//'\n",
    "(//\u{2028}",
    "('\\\r\n)'+",
    "(/*'*/",
    "a<{b:",
    "a<[",
    "a<b>",
    "a<b>c",
    "a<b>(c)",
    "a?.<b>",
    "!",
    "- ",
    "typeof ",
    "new ",
    "a=",
    "a?b:",
    "a?a",
    "a=>",
    "(a)=>",
    "async a=>",
    "async(",
    "async<T>(",
    "<T>(",
    "a?(b:",
    "a?(b)=>",
    "a?(b):(c)=>",
    "(a?b:(",
    "a<(b)=>c<",
    "a**",
    "a+",
    "a,",
    "a.",
    "a!",
    "a as b as ",
    " as T",
    "if(a)",
    "if(a);else ",
    "for(;;)",
    "do ",
    "a:",
    "type A=B<",
    "type A=keyof ",
    "let a:(b:",
    "()=>",
    "keyof ",
    "T extends U?",
    "infer U extends ",
    "class extends class{}",
    "class{a=",
    "class A{",
    "function(){",
    "@a ",
    "enum A{",
    "namespace A.",
    "declare ",
    "abstract ",
    "public ",
    "a[]",
    "({a=",
    "([a]=",
    "let {a:",
    "type A={a:",
    "type A=`${",
    "interface A extends B<",
    "a is ",
    "/*",
    "//\n",
    "'",
    "`",
    "/",
    "\u{2028}",
    "😀",
    "\\u{61}",
    ";",
    "\n",
];

/// What a module is made of.
const PARTS: &[&str] = &[
    "a",
    "b",
    "T",
    "1",
    "'s'",
    "`t`",
    "`a${",
    "}`",
    "/r/",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ";",
    ",",
    ":",
    "?",
    "!",
    ".",
    "...",
    "=",
    "=>",
    "+",
    "*",
    "|",
    "&",
    "@",
    "#p",
    "\n",
    "\r\n",
    "\u{2029}",
    "/* c\n */",
    "// c\n",
    "grün",
    "漢",
    "😀",
    " as ",
    " satisfies ",
    "let ",
    "const ",
    "var ",
    "function ",
    "async ",
    "class ",
    "abstract ",
    "extends ",
    "implements ",
    "interface ",
    "type ",
    "enum ",
    "namespace ",
    "declare ",
    "import ",
    "export ",
    "default ",
    "from 'x'",
    "private ",
    "readonly ",
    "static ",
    "get ",
    "set ",
    "this",
    "return ",
    "yield ",
    "await ",
    "new ",
    "keyof ",
    "typeof ",
    "infer ",
    "is ",
    "asserts ",
    "if (a) ",
    "for (const a of b) ",
    "case ",
    "(a: T): U => ",
    "<T>(a?: T) => ",
    "class A { x?: T = 1; y(): T {} }",
    "function f(this: T, a: U): void {}",
    "x as T\n",
];

/// As `erase`, where it has the stack that it says it needs; `None` where the parser has given up.
fn tried(text: &str) -> Option<Result<String, Refused>> {
    let thread = std::thread::Builder::new().stack_size(stack_bytes(text.len()));
    std::thread::scope(|scope| {
        let run = || catch_unwind(AssertUnwindSafe(|| erase(text)));
        let tried = thread.spawn_scoped(scope, run).unwrap().join().unwrap();
        tried.map_err(|panic| assert_out_of_memory(&*panic)).ok()
    })
}

fn assert_out_of_memory(panic: &(dyn std::any::Any + Send)) {
    let said = panic.downcast_ref::<&str>().copied();
    assert!(said.is_some_and(|said| said.contains("memory")), "{said:?}");
}

#[test]
fn what_is_large_or_nested_is_refused() {
    let refused = erase(&" ".repeat(TEXT_MAX_BYTES + 1)).unwrap_err();
    assert!(refused.what.contains("1048577 bytes"), "{refused}");
    let nested = "let a: ".to_owned() + &"A<".repeat(300_000);
    let refused = tried(&nested).unwrap().unwrap_err();
    assert_eq!((refused.line, refused.column), (1, 8 + 2001), "{refused}");
    assert!(refused.what.contains("a < is one up to its >"), "{refused}");
    let shifts: String = (0..1_200)
        .map(|number| format!("a{number}: 1 << {},", number % 32))
        .collect();
    let faces = "// :( {[<\n/* ( */".repeat(1_100);
    let texts = format!("const t = [{}];", "'(', `{`, /\\(/, ".repeat(400));
    for (what, text) in [
        ("shifts", format!("const x = {{{shifts}}};")),
        ("comments", faces),
        ("strings", texts),
    ] {
        assert!(tried(&text).unwrap().is_ok(), "{what}");
    }
    // A line in which a `/` divides hides nothing that follows, nor what is in it.
    let line = "a = b / c; // '\n".repeat(20) + &"(".repeat(1_001);
    assert!(tried(&line).unwrap().unwrap_err().what.contains("brackets"));
    let many = "if (a < b && c << d) f((x): number => x, [1]);\n".repeat(5_000);
    assert!(tried(&many).unwrap().is_ok());
}

#[test]
fn whatever_is_repeated_the_stack_is_enough() {
    // The long ones need more than what every text has.
    for (prefix, bytes) in [
        ("", 160_000),
        ("let x = ", 20_000),
        ("let x: ", 20_000),
        ("class A { x = ", 20_000),
    ] {
        for part in REPEATED {
            let text = prefix.to_owned() + &part.repeat(bytes / part.len());
            if let Some(Ok(erased)) = tried(&text) {
                assert_eq!(text.len(), erased.len());
            }
        }
    }
}

/// Two `<` beside each other count as none, and may open types after all.
#[test]
fn where_they_open_two_types_at_once_the_stack_is_enough() {
    for part in REPEATED.iter().filter(|part| part.contains("<<")) {
        for prefix in ["", "let x: A<b,"] {
            tried(&(prefix.to_owned() + &part.repeat(400_000 / part.len())));
        }
    }
}

#[test]
fn any_text_is_erased_in_place_or_refused() {
    let rounds = 20_000;
    let mut erased = 0;
    for seed in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..12);
        let text: String = (0..count)
            .filter_map(|_| random.choice(PARTS.iter().copied()))
            .collect();
        if let Ok(without_types) = erase(&text) {
            assert_erased(&text, &without_types);
            erased += 1;
        }
    }
    assert!(erased > rounds / 100, "{erased}");
}

/// What seems to be code and is none, or the other way round, with what may stand between.
const OPERANDS: &[&str] = &[
    "a",
    "1",
    "(a)",
    "[a]",
    "({})",
    "'('",
    "\"`\"",
    "`(`",
    "`${a}'`",
    "`${(a)}(`",
    "`${{a:b}}/`",
    "/(/",
    "/[/]'/",
    "/'/",
    "/`/g",
    "/\\/(/",
    "a$",
    "class A${}",
    "{}",
    "{a}",
    "()=>{}",
    "a<b>(c)",
    "`${a",
    "`${class A${}",
    "`${class A${};(a)",
    "}'`",
    "}(`",
    "1/a}\n(`",
    "",
];
const BETWEEN: &[&str] = &[
    "/",
    " / ",
    "/=",
    "+",
    "-",
    "++",
    "--",
    "*",
    "%",
    ";",
    "\n",
    ";\n",
    "\r\n",
    "\u{2028}",
    ",",
    "=",
    "?",
    ":",
    "!",
    "<",
    ">",
    "<<",
    ">>",
    "=>",
    "//'\n",
    "//(\u{2028}",
    "/*`*/",
    "/*\n*/",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "`",
    "${",
    "'",
    "\\",
    "<!--",
    "-->",
    ";if(a)",
    ";for(;;)",
    ";return ",
    ";typeof ",
    ";type A=",
    " as ",
    ".",
    " ",
];

#[test]
fn no_bracket_that_the_parser_sees_is_hidden() {
    let mut seen = 0;
    for seed in 0..300_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut text = String::new();
        for _ in 0..random.usize(1..6) {
            text += random.choice(OPERANDS).unwrap();
            text += random.choice(BETWEEN).unwrap();
        }
        let allocator = oxc_allocator::Allocator::default();
        let source_type = oxc_span::SourceType::ts().with_module(true);
        let parser = || oxc_parser::Parser::new(&allocator, &text, source_type);
        // Of a text that is wrong there are no tokens.
        if parser().parse().diagnostics.errors().next().is_some() {
            continue;
        }
        let tokens = parser().with_config(oxc_parser::config::TokensParserConfig);
        let code: Vec<usize> = Code::new(&text).map(|(at, _)| at).collect();
        for token in &tokens.parse().tokens {
            let (start, end) = (token.start() as usize, token.end() as usize);
            let token = &text[start..end];
            let mut brackets = Vec::new();
            if token.starts_with(['(', '[', '{', '<', ')', ']', '}']) {
                brackets.push(start);
            }
            if token.ends_with("${") && token.starts_with(['`', '}']) {
                brackets.push(end - 1);
            }
            for bracket in brackets {
                assert!(code.contains(&bracket), "{bracket} of {text:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}
