//! Floods of beginnings: each a connection that the server does not know yet.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::peer::hello::{Hello, SOURCE_ID};
use crate::peer::pace::Pace;
use crate::peer::packet::{InitialHeader, read_retry};
use crate::peer::socket::{DATAGRAM_BYTES, From, Sources};
use crate::peer::traffic;
use std::net::Ipv4Addr;

/// How often it is looked for what came back.
const LOOK: u64 = 8;

/// The most that a server may send to an address before that is known to be the peer's (RFC 9000, section 8.1).
const AMPLIFICATION_MAX: f64 = 3.0;

/// What is sent of each.
enum Beginning {
    Whole(Hello),
    FirstDatagram(Hello),
    Broken,
}

impl Beginning {
    fn datagrams(
        &self,
        header: &InitialHeader<'_>,
        number: u32,
        random: &mut fastrand::Rng,
    ) -> Result<Vec<Vec<u8>>, AbuseError> {
        match self {
            Self::Whole(hello) => hello.datagrams(header, number),
            Self::FirstDatagram(hello) => {
                let mut datagrams = hello.datagrams(header, number)?;
                datagrams.truncate(1);
                Ok(datagrams)
            }
            Self::Broken => Ok(vec![header.broken(random)]),
        }
    }
}

/// What came back.
#[derive(Default)]
struct Back {
    retries: u64,
    others: u64,
}

struct Flood<'a> {
    field: &'a Field<'a>,
    sources: Sources,
    beginning: Beginning,
    /// Whether a Retry is answered.
    answers: bool,
    random: fastrand::Rng,
    back: Back,
    buffer: Vec<u8>,
}

fn flood(
    field: &Field<'_>,
    from: From,
    answers: bool,
    beginning: Beginning,
) -> Result<Outcome, AbuseError> {
    let mut flood = Flood {
        field,
        sources: Sources::new(from)?,
        beginning,
        answers,
        random: fastrand::Rng::with_seed(7),
        back: Back::default(),
        buffer: vec![0; DATAGRAM_BYTES],
    };
    let before = traffic();
    let sent = flood.run()?;
    let now = traffic();
    let ratio = (now.received_bytes - before.received_bytes) as f64
        / (now.sent_bytes - before.sent_bytes).max(1) as f64;
    let Back { retries, others } = flood.back;
    let answered = if answers { "answered" } else { "not answered" };
    Ok(Outcome::did(format!(
        "{sent} sent; {retries} Retries came, {answered}, and {others} other datagrams"
    ))
    .check(
        ratio <= AMPLIFICATION_MAX,
        format!("{ratio:.2} bytes back for each byte sent, at most 3"),
    ))
}

impl Flood<'_> {
    fn run(&mut self) -> Result<u64, AbuseError> {
        let amount = self.field.amount;
        let mut pace = Pace::new(amount.count, amount.per_second, self.field.until());
        while let Some(number) = pace.next() {
            let mut destination = [0; 16];
            self.random.fill(&mut destination);
            let from = self.sources.address(number);
            self.send(&destination, &[], 0, from)?;
            if number.is_multiple_of(LOOK) {
                self.look()?;
            }
        }
        self.look()?;
        Ok(pace.done())
    }

    fn send(
        &mut self,
        destination: &[u8],
        token: &[u8],
        number: u32,
        from: Ipv4Addr,
    ) -> Result<(), AbuseError> {
        let header = InitialHeader {
            destination,
            source: &SOURCE_ID,
            token,
        };
        for datagram in self
            .beginning
            .datagrams(&header, number, &mut self.random)?
        {
            self.sources.send(&datagram, from, self.field.target);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), AbuseError> {
        while let Some((length, to, _)) = self.sources.receive(&mut self.buffer)? {
            let Some((id, token)) = read_retry(&self.buffer[..length]) else {
                self.back.others += 1;
                continue;
            };
            self.back.retries += 1;
            if self.answers {
                let (id, token) = (id.to_vec(), token.to_vec());
                self.send(&id, &token, 2, to)?;
            }
        }
        Ok(())
    }
}

fn hello_of_another_protocol() -> Result<Beginning, AbuseError> {
    let mut config = Fleet::stranger_of_another_protocol()?;
    Ok(Beginning::Whole(Hello::of(&mut config)?))
}

fn good_hello() -> Result<Hello, AbuseError> {
    Hello::of(&mut Fleet::stranger()?)
}

pub(super) fn other_protocol(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::One, false, hello_of_another_protocol()?)
}

pub(super) fn other_protocol_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, false, hello_of_another_protocol()?)
}

pub(super) fn other_protocol_retry(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::One, true, hello_of_another_protocol()?)
}

pub(super) fn other_protocol_retry_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, true, hello_of_another_protocol()?)
}

pub(super) fn silent(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::One, false, Beginning::Whole(good_hello()?))
}

pub(super) fn silent_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, false, Beginning::Whole(good_hello()?))
}

pub(super) fn silent_retry(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::One, true, Beginning::Whole(good_hello()?))
}

pub(super) fn silent_retry_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, true, Beginning::Whole(good_hello()?))
}

pub(super) fn half(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let beginning = Beginning::FirstDatagram(good_hello()?);
    flood(field, From::Many, true, beginning)
}

pub(super) fn garbage(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, true, Beginning::Whole(Hello::garbage()))
}

pub(super) fn broken(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::One, false, Beginning::Broken)
}

pub(super) fn broken_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    flood(field, From::Many, false, Beginning::Broken)
}
