//! Bearer tokens (RFC 6750): who comes by HTTP, by a secret that both sides know.

use crate::runtime::text_file::ListFile;
use crate::server::StartError;
use boring::memcmp;
use boring::sha::sha256;
use madrpc_core::identity::Role;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The least length of a token: `openssl rand -base64 24` gives 32 characters. A short one is guessed.
const TOKEN_MIN_BYTES: usize = 16;

/// And the most: it has to fit into a header.
const TOKEN_MAX_BYTES: usize = 512;

/// Callers with names of their own; each has sessions to the shards.
const NAMES_MAX: usize = 256;

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// `client` or `operator`.
    pub(super) role: Role,
    pub(super) name: Arc<str>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, self.name)
    }
}

/// Tokens, by what they are told apart by: nothing of them is kept but that.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens(HashMap<[u8; 32], Owner>);

impl Tokens {
    /// From a text with a line `TOKEN ROLE:NAME` for each; what follows a `#` is left out. A name may have several tokens.
    ///
    /// # Errors
    /// The number of the first line that is none, and what is wrong with it. It never repeats a token.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut tokens = HashMap::new();
        let mut names: Vec<Owner> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(token) = words.next() else {
                continue;
            };
            let owner = check(token).and_then(|()| owner(words.next(), words.next()));
            let owner = owner.map_err(|error| (number, error))?;
            let owner = match names.iter().find(|known| **known == owner) {
                Some(known) => known.clone(),
                None if names.len() >= NAMES_MAX => {
                    return Err((number, format!("more than {NAMES_MAX} names")));
                }
                None => {
                    names.push(owner.clone());
                    owner
                }
            };
            if tokens.insert(sha256(token.as_bytes()), owner).is_some() {
                return Err((number, "this token is there twice".into()));
            }
        }
        Ok(Self(tokens))
    }

    /// Who this token belongs to.
    ///
    /// How long it takes says nothing of a token: digests are looked for, and nobody can come closer to one by a step.
    pub(super) fn owner(&self, token: &str) -> Option<&Owner> {
        let digest = sha256(token.as_bytes());
        let (found, owner) = self.0.get_key_value(&digest)?;
        memcmp::eq(found, &digest).then_some(owner)
    }

    /// All owners, each once for each of its tokens.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.0.values()
    }
}

/// How many there are, in words.
impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

fn check(token: &str) -> Result<(), String> {
    let is_written = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if !token.bytes().all(is_written) {
        return Err(
            "a token has letters, digits and -._~+/= only: `openssl rand -base64 24` makes one"
                .into(),
        );
    }
    match token.len() {
        TOKEN_MIN_BYTES..=TOKEN_MAX_BYTES => Ok(()),
        bytes => Err(format!(
            "a token has {TOKEN_MIN_BYTES} to {TOKEN_MAX_BYTES} characters, and this one has {bytes}: `openssl rand -base64 24` makes one"
        )),
    }
}

fn owner(word: Option<&str>, more: Option<&str>) -> Result<Owner, String> {
    const WANTED: &str =
        "expected TOKEN ROLE:NAME, where the role is client or operator, as client:billing";
    let (Some((role, name)), None) = (word.and_then(|word| word.split_once(':')), more) else {
        return Err(WANTED.into());
    };
    let role = match role {
        "client" => Role::Client,
        "operator" => Role::Operator,
        _ => return Err(WANTED.into()),
    };
    match name.is_empty() || name.contains('*') {
        true => Err(WANTED.into()),
        false => Ok(Owner {
            role,
            name: name.into(),
        }),
    }
}

/// A file of tokens, which is looked at again and again.
#[derive(Debug)]
pub struct TokensFile(pub(super) ListFile<Tokens>);

impl TokensFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// Where it cannot be read, is open to all users of the machine, or has a line that is no token.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let file = ListFile::open_secret(path, Tokens::parse);
        file.map(Self).map_err(StartError::Settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "sixteen-letters1";
    const OTHER: &str = "OTHER+letters/16==";

    #[test]
    fn tokens_lead_to_their_owners_and_nothing_else_does() {
        let text = format!("# ours\n\n {ONE}\tclient:billing # since May\n{OTHER} operator:ann\n");
        let tokens = Tokens::parse(&text).unwrap();
        let of = |token: &str| tokens.owner(token).map(ToString::to_string);
        assert_eq!(of(ONE).as_deref(), Some("client:billing"));
        assert_eq!(of(OTHER).as_deref(), Some("operator:ann"));
        for wrong in [
            "",
            "#",
            "sixteen-letters2",
            "SIXTEEN-LETTERS1",
            "client:billing",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(tokens.to_string(), "2 tokens");
        assert!(!format!("{tokens:?}").contains(ONE));
    }

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_without_the_token() {
        let many: String = (0..=NAMES_MAX)
            .map(|number| format!("sixteen-letters-{number} client:c{number}\n"))
            .collect();
        for (text, line, words) in [
            ("\nshort client:a", 2, "16 to 512"),
            ("sixteen-letters1", 1, "TOKEN ROLE:NAME"),
            ("sixteen-letters1 billing", 1, "TOKEN ROLE:NAME"),
            ("sixteen-letters1 node:a", 1, "client or operator"),
            ("sixteen-letters1 client:", 1, "TOKEN ROLE:NAME"),
            ("sixteen-letters1 client:*", 1, "TOKEN ROLE:NAME"),
            ("sixteen-letters1 client:a b", 1, "TOKEN ROLE:NAME"),
            ("sixteen,letters1 client:a", 1, "letters, digits"),
            (
                "sixteen-letters1 client:a\nsixteen-letters1 client:b",
                2,
                "twice",
            ),
            (&many, NAMES_MAX + 1, "more than 256"),
        ] {
            let (at, error) = Tokens::parse(text).unwrap_err();
            assert_eq!(at, line, "{error}");
            assert!(
                error.contains(words) && !error.contains("letters1"),
                "{error}"
            );
        }
    }
}
