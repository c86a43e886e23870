//! The argument of a call, as a command line gives it.

use crate::exit::{Failure, Reason};
use madrpc_core::value::Value;
use madrpc_core::value::json::from_json;
use std::io;

/// The argument that a command line gives; `-` stands for stdin.
pub(super) fn argument(json: Option<&str>) -> Result<Value, Failure> {
    let (text, origin) = match json {
        None => return Ok(Value::Undefined),
        Some("-") => {
            let read = io::read_to_string(io::stdin().lock());
            let text = read
                .map_err(|error| Failure::new(Reason::Usage, format!("JSON on stdin: {error}")))?;
            (text, "JSON on stdin")
        }
        Some(text) => (text.to_owned(), "JSON argument"),
    };
    from_json(&text).map_err(|error| {
        let hint = r#"write it as '{"a": 1}', quoted for the shell"#;
        Failure::new(Reason::Usage, format!("{origin}: {error}; {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_is_undefined_and_bad_json_says_where() {
        assert_eq!(argument(None), Ok(Value::Undefined));
        assert_eq!(argument(Some("[1]")), Ok(vec![1.into()].into()));
        let error = argument(Some("{a:1}")).unwrap_err();
        let expected = Failure::new(
            Reason::Usage,
            r#"JSON argument: line 1, column 2: key must be a string; write it as '{"a": 1}', quoted for the shell"#,
        );
        assert_eq!(error, expected);
    }
}
