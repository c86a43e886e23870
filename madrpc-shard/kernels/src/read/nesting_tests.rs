//! What the scan takes, and what it refuses.

use super::nesting::check;
use crate::abi::Place;
use crate::refused::{Reason, Refused};
use crate::text::Text;

fn read(text: &str) -> Result<(), Refused> {
    let start = Place {
        file: "a.js".into(),
        line: 10,
        column: 5,
    };
    check(&Text::new(text, start)?)
}

#[test]
fn what_nests_without_end_is_refused() {
    for level in [
        "(",
        "[",
        "{",
        "!",
        "-",
        "- ",
        "~",
        "a=",
        "a?",
        "a**",
        "if(a)",
        "for(;;)",
        "do ",
        "typeof ",
        "a:",
        "new ",
        "a?b:",
        "do do ",
        "++",
        "a={}?",
        "a?{}:",
        "{a:",
        "[a,",
        "a[",
        "switch(a){case b:",
        "({})?",
        "try{}finally{",
        "a: {",
        "while(a){",
        "if(a)if(a)if(a)b;else ",
        "if(a)for(;;)if(a)b\nelse ",
        "do if(a)b; else ",
        "a?++\nb:",
        "a: b: {",
        "case a: {",
        "if(a)\nif(b)\n",
        "a\n=",
        "a+=",
        "a=b+",
        "a?b+c:",
        "a+(",
        "a*b,[",
        "a&&b**(",
        "if(a);else{",
        "if(a);else b:",
        "if(a);else do ",
    ] {
        let refused = read(&level.repeat(5000)).expect_err(level);
        assert_eq!(refused.reason, Reason::TooLarge, "{level}");
    }
}

#[test]
fn what_is_long_but_not_deep_is_read() {
    for part in [
        "a = b + c * (d - e[1]);",
        "f(a, b, -c),",
        "if (a) { b(); }",
        "for (;;) { while (a) { b(); } }",
        "a / b; // ((((\n",
        "'((((';",
        "case 1: a++; break;",
        "case 1: { a++; break; }",
        "a = -b;\n",
        "switch (a) { default: b(); }",
        "a = b * 3 + 1\n",
        "let a = -b\n",
        "a++\n",
        "if (a) b = c\nelse c = d\n",
        "if (a) { b(); } else { c(); }",
        "if (a) { b(); } else if (c) { d(); } else e();",
        "if (a) break\n",
        "for (;;) if (a) continue\nelse return\n",
        "do { a++ } while (a > 5)\n",
        "do if (a) b(); else c(); while (a)\n",
        "a ? b : c;",
        "a = b ? c : d // e\n",
        "a: for (;;) { break a }",
        "case a ? b : c: d\n",
        "try { a } catch (b) { c } finally { d }",
        "a /* b\n */ b = c",
        "of / 2;",
        "a\nof = of / 2\n",
        "for (of = 1; of / 2; of++);",
        "a + ",
        "a - -b * ",
        "a != b === ",
        "a && !b || ",
        "a ** b / ",
        "a + b(c) + ++d + e++ - ",
        "if(a);else ",
        "if(a){}else ",
        "if(a)a;else ",
        "if(a)b\nelse ",
        "if(a)try{}catch(b){}else ",
        "if(a){if(b)c;else d}else ",
    ] {
        read(&part.repeat(1000)).unwrap();
    }
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    for (text, what) in [
        ("a = /(/;", "regular"),
        ("if (a) /(/;", "regular"),
        ("return /(/", "regular"),
        ("{} /(/", "regular"),
        ("`${(", "strings"),
        ("\\u0061", "escape"),
        ("return\u{2028}/(/", "regular"),
        ("a = () => 1", "function"),
        ("a = function () {}", "function"),
        ("a(...function () {})", "function"),
        ("[...class {}]", "function"),
        ("({ a() { {} /(/ } })", "after a value"),
        ("({ get a() { {} /(/ } })", "after a value"),
        ("(b = { a() { {} /(/ } }) {}", "after a value"),
        ("a: { {} /(/ }", "regular"),
        ("switch (a) { case 1: {} /(/ }", "regular"),
        ("try {} catch { {} /(/ }", "regular"),
        ("debugger\n{} /(/", "regular"),
        ("break\n/(/", "regular"),
        ("a\n++/(/", "regular"),
        ("for (a of /(/)", "regular"),
        ("a?.b\nc: {} /(/", "regular"),
        ("\u{1f600}", "character"),
    ] {
        let refused = read(text).unwrap_err();
        assert!(refused.what.contains(what), "{text}: {refused}");
    }
    read("// a\u{2028}((").unwrap();
}
