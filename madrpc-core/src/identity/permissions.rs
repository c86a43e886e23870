//! Who may call what: `--allow`.

use super::Role;
use std::fmt;
use std::str::FromStr;

/// What stands for any number of characters in a pattern.
const ANY: char = '*';

/// The rules of a server. Without any, every role may call every function, and every node may announce itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    rules: Vec<Rule>,
    joiners: Vec<Joiner>,
}

/// `node:NAME`: nodes that may announce themselves, by the names in their certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner(Pattern);

/// `FUNCTION=ROLE:NAME,…`: functions, and who may call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    functions: Pattern,
    callers: Vec<Callers>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Callers {
    /// `None` for any.
    role: Option<Role>,
    name: Pattern,
}

/// A name, in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Permissions {
    /// These rules together: who is named by one of those of a function may call it, and a function that none speaks of is free to
    /// all.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            joiners: Vec::new(),
        }
    }

    /// The same, and only these nodes may announce themselves; all where there is none.
    #[must_use]
    pub fn with_joiners(self, joiners: Vec<Joiner>) -> Self {
        Self { joiners, ..self }
    }

    /// Whether a node of this name may announce itself.
    ///
    /// # Errors
    /// Which may, in words.
    pub fn check_join(&self, name: &str) -> Result<(), String> {
        let is_named = |joiner: &Joiner| joiner.0.matches(name);
        match self.joiners.is_empty() || self.joiners.iter().any(is_named) {
            true => Ok(()),
            false => {
                let may = self.joiners.iter().map(ToString::to_string);
                Err(may.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Whether there is no rule about functions.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a caller may call a function.
    ///
    /// # Errors
    /// Who may, in words.
    pub fn check(&self, function: &str, role: Option<Role>, name: &str) -> Result<(), String> {
        let mut of_function = self.of(function).peekable();
        if of_function.peek().is_none() {
            return Ok(());
        }
        let is_named = |rule: &Rule| rule.callers.iter().any(|one| one.are(role, name));
        if self.of(function).any(is_named) {
            return Ok(());
        }
        let may: Vec<String> = of_function
            .flat_map(|rule| &rule.callers)
            .map(ToString::to_string)
            .collect();
        Err(may.join(", "))
    }

    /// The rules that speak of none of these functions.
    pub fn idle<'a>(&'a self, functions: &'a [String]) -> impl Iterator<Item = &'a Rule> {
        let speaks = |rule: &&Rule| functions.iter().any(|one| rule.functions.matches(one));
        self.rules.iter().filter(move |rule| !speaks(rule))
    }

    /// The rules that speak of one function, with its name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let all = self.rules.iter().map(|rule| (&*rule.functions.0, rule));
        all.filter(|(name, _)| !name.contains(ANY))
    }

    fn of<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.functions.matches(function))
    }
}

impl Callers {
    fn are(&self, role: Option<Role>, name: &str) -> bool {
        self.role.is_none_or(|one| role == Some(one)) && self.name.matches(name)
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split(ANY);
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const AS: &str = "as in 'refund=client:billing,operator:*'";
        let (functions, callers) = text
            .split_once('=')
            .ok_or_else(|| format!("expected FUNCTION=ROLE:NAME, {AS}"))?;
        if functions.trim().is_empty() {
            return Err(format!("no function before the `=`, {AS}"));
        }
        if functions.trim().starts_with("madrpc.") {
            return Err(
                "names that begin with `madrpc.` go by no rule: those that steer are for operators"
                    .into(),
            );
        }
        let callers = callers.split(',').map(|caller| {
            let caller = caller.trim();
            let (role, name) = caller
                .split_once(':')
                .ok_or_else(|| format!("`{caller}` is no ROLE:NAME, {AS}"))?;
            if name.is_empty() {
                return Err(format!("no name in `{caller}`: `{role}:*` means any"));
            }
            let known = Role::ALL.into_iter().find(|one| one.name() == role);
            let known = match (known, role) {
                (None, "*") => None,
                (None, _) => {
                    let roles = Role::ALL.map(Role::name).join(", ");
                    return Err(format!(
                        "no role is called `{role}`; there are {roles}, and * for any"
                    ));
                }
                (some, _) => some,
            };
            Ok(Callers {
                role: known,
                name: Pattern(name.to_owned()),
            })
        });
        Ok(Self {
            functions: Pattern(functions.trim().to_owned()),
            callers: callers.collect::<Result<_, String>>()?,
        })
    }
}

impl FromStr for Joiner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().split_once(':') {
            Some(("node", name)) if !name.is_empty() => Ok(Self(Pattern(name.to_owned()))),
            _ => {
                Err("expected node:NAME, as in 'node:web-*': only nodes announce themselves".into())
            }
        }
    }
}

impl fmt::Display for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node:{}", self.0.0)
    }
}

impl fmt::Display for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.map_or("*", Role::name);
        write!(f, "{role}:{}", self.name.0)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callers: Vec<_> = self.callers.iter().map(ToString::to_string).collect();
        write!(f, "{}={}", self.functions.0, callers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(rules: &[&str]) -> Permissions {
        Permissions::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    #[test]
    fn who_is_named_may_and_what_no_rule_speaks_of_is_free() {
        let rules = permissions(&[
            "pay.*=client:billing,operator:*",
            "pay.refund=client:desk-*",
            "secret=*:root",
        ]);
        let may = |function: &str, role: Role, name: &str| {
            rules.check(function, Some(role), name).is_ok()
        };
        assert!(may("free", Role::Client, "anybody"));
        assert!(may("pay.charge", Role::Client, "billing"));
        assert!(may("pay.charge", Role::Operator, "anybody"));
        assert!(!may("pay.charge", Role::Node, "billing"));
        assert!(!may("pay.charge", Role::Client, "desk-1"));
        assert!(may("pay.refund", Role::Client, "desk-1"));
        assert!(may("pay.refund", Role::Client, "billing"));
        assert!(!may("pay.refund", Role::Client, "desk"));
        assert!(may("secret", Role::Node, "root"));
        let told = rules.check("pay.refund", Some(Role::Client), "x");
        assert_eq!(
            told.unwrap_err(),
            "client:billing, operator:*, client:desk-*"
        );
        assert!(rules.check("pay.refund", None, "billing").is_err());
        let free = Permissions::default();
        assert!(free.is_empty() && free.check("f", None, "").is_ok());
    }

    #[test]
    fn nodes_join_that_are_named_and_all_where_none_is() {
        let free = permissions(&["f=client:*"]);
        assert_eq!(free.check_join("anybody"), Ok(()));
        let joiners = ["node:web-*", " node:gpu"].map(|one| one.parse().unwrap());
        let named = free.with_joiners(joiners.into());
        assert!(named.check_join("web-7").is_ok() && named.check_join("gpu").is_ok());
        assert_eq!(named.check_join("db").unwrap_err(), "node:web-*, node:gpu");
        for bad in ["", "web-*", "node:", "client:web-*", "*:a"] {
            assert!(bad.parse::<Joiner>().unwrap_err().contains("node:NAME"));
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, matches) in [
            ("f", "f", true),
            ("f", "ff", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("*a", "xa", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a**c", "ac", true),
            ("*é*", "caféx", true),
            ("xy*yx", "xyx", false),
        ] {
            let found = Pattern(pattern.to_owned()).matches(name);
            assert_eq!(found, matches, "{pattern} {name}");
        }
    }

    #[test]
    fn rules_that_speak_of_nothing_are_found_and_bad_ones_refused() {
        let rules = permissions(&["f=client:*", "g*=node:a, operator:b"]);
        let functions = ["f".to_owned()];
        let idle: Vec<_> = rules.idle(&functions).map(ToString::to_string).collect();
        assert_eq!(idle, ["g*=node:a,operator:b"]);
        let named: Vec<_> = rules.named().map(|(name, _)| name).collect();
        assert_eq!(named, ["f"]);
        for bad in [
            "",
            "f",
            "=client:a",
            "f=",
            "f=client",
            "f=client:",
            "f=root:a",
            "f=client:a,",
            "madrpc.drain=client:*",
        ] {
            let error = bad.parse::<Rule>().unwrap_err();
            let words = ["client", "operators"];
            assert!(
                words.iter().any(|word| error.contains(word)),
                "{bad}: {error}"
            );
        }
    }
}
