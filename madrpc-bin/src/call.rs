//! `madrpc call`: one call, its result to stdout.

use crate::args::CallArgs;
use crate::exit::{Failure, Reason};
use crate::output::{self, printable, say};
use crate::tls;
use madrpc_core::call::Bill;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::{Client, ClientConfig};
use std::io;
use std::time::{Duration, Instant};

pub(crate) fn run(args: &CallArgs) -> Result<(), Failure> {
    let argument = argument(args.json.as_deref())?;
    let identity = tls::identity(&args.tls, Role::Client)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    let begun = Instant::now();
    let call = client.prepare(&args.function).timeout(args.timeout);
    let outcome = call.send_blocking(argument);
    let elapsed = begun.elapsed();
    client.close_blocking();
    let bill = match &outcome {
        Ok(reply) => Some(&reply.bill),
        Err(error) => error.bill.as_deref(),
    };
    if let Some(bill) = bill.filter(|_| args.verbose) {
        say(&describe(bill, elapsed));
    }
    let reply = outcome?;
    output::result(&to_json(&reply.result))
}

/// The argument that a command line gives; `-` stands for stdin.
pub(crate) fn argument(json: Option<&str>) -> Result<Value, Failure> {
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

fn describe(bill: &Bill<String>, whole: Duration) -> String {
    let place = match bill.node.as_str() {
        "" => "answered by the server itself".to_owned(),
        node if bill.slices == 0 => {
            format!("refused by shard {} of {}", bill.shard, printable(node))
        }
        node => format!("ran on shard {} of {}", bill.shard, printable(node)),
    };
    let slices = if bill.slices == 1 { "slice" } else { "slices" };
    format!(
        "{place}: {} µs CPU in {} {slices} after {} µs waiting, with at most {} KiB of heap; {} µs in all, with \
         connecting",
        bill.cpu_us,
        bill.slices,
        bill.queue_us,
        bill.heap_peak_bytes.div_ceil(1024),
        whole.as_micros()
    )
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
