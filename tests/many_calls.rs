//! Many calls whose replies come to one place.
//!
//! Setup: a node in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::block_on;
use futures_util::StreamExt;
use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::limits::KEY_MAX_BYTES;
use madrpc_core::value::Value;
use madrpc_shard::client::{Calls, Client, ClientConfig};
use support::Fleet;

/// What comes of `calls`, the next one.
fn next_ended(calls: &mut Calls) -> Option<(u64, Result<Value, ErrorKind>)> {
    let ended = block_on(calls.next())?;
    let result = ended.result.map_err(|error| error.kind);
    let value = result.map(|reply| Value::decode(&reply.result).unwrap());
    Some((ended.tag, value))
}

#[test]
fn many_calls_reply_to_one_place_as_they_end() {
    let fleet = Fleet::new();
    let node = fleet.node(
        "const sleep = (ms) => new Promise((then) => setTimeout(then, ms));
         madrpc.register('echo', (value) => value);
         madrpc.register('throws', () => { throw new Error('no'); });
         madrpc.register('sleep', (ms) => sleep(ms));",
    );
    let identity = fleet.identity(Role::Client);
    let address = node.address().to_string();
    let client = Client::new(&ClientConfig::with_identity(&address, identity)).unwrap();
    let mut calls = client.calls();
    assert_eq!(next_ended(&mut calls), None);
    let args = |value: i64| {
        let mut bytes = Vec::new();
        Value::from(value).encode(&mut bytes, 64).unwrap();
        bytes.into()
    };
    // The slow one, which was begun first, is in nobody's way.
    calls
        .begin(1, &client.prepare("sleep"), args(20_000))
        .unwrap();
    calls.begin(2, &client.prepare("echo"), args(7)).unwrap();
    assert_eq!(next_ended(&mut calls), Some((2, Ok(Value::Integer(7)))));
    calls.begin(3, &client.prepare("throws"), args(0)).unwrap();
    assert_eq!(
        next_ended(&mut calls),
        Some((3, Err(ErrorKind::JavaScript)))
    );
    let key = [b'k'; KEY_MAX_BYTES + 1];
    let refused = calls.begin(4, &client.prepare("echo").key(&key), args(0));
    assert_eq!(refused.unwrap_err().kind, ErrorKind::BadArguments);
    // What is given up says nothing.
    assert_eq!(calls.len(), 1);
    calls.cancel(1);
    assert_eq!(next_ended(&mut calls), None);
    for tag in 100..1100 {
        let call = client.prepare("echo");
        calls.begin(tag, &call, args(tag as i64)).unwrap();
    }
    for _ in 100..1100 {
        let (tag, value) = next_ended(&mut calls).unwrap();
        assert_eq!(value, Ok(Value::Integer(tag as i64)));
    }
    assert!(calls.is_empty());
}
