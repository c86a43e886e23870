//! `memory.fill` and `memory.copy` in steps: wasmtime does each in one go, however much it is, and nothing else would run on the
//! shard meanwhile. So a module gets functions that do it part by part, which are called in their place; between the parts the
//! lane can look at the clock. They come after all other functions, so that no number changes.
//!
//! What is short is done as it was, and so is what is out of bounds, for it to trap before anything is written.

use super::limits::BULK_STEP_BYTES;
use std::ops::Range;
use wasmtime::wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload, TypeRef};

/// What is known to be so short, by a constant before it, is left as it is.
const SHORT_BYTES: u32 = BULK_STEP_BYTES;

const TYPE_SECTION: u8 = 1;
const FUNCTION_SECTION: u8 = 3;
const CODE_SECTION: u8 = 10;

/// `(func (param i32 i32 i32))`.
const FUNCTION_TYPE: [u8; 6] = [0x60, 3, 0x7f, 0x7f, 0x7f, 0];

/// An operation that is done in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bulk {
    Fill { memory: u32 },
    Copy { to: u32, from: u32 },
}

/// The module with such functions; `None` where it needs none, or is none that could be read.
pub(super) fn in_steps(bytes: &[u8]) -> Option<Vec<u8>> {
    let module = Found::read(bytes).ok()?;
    if module.places.is_empty() {
        return None;
    }
    module.written(bytes)
}

/// What was found in a module.
#[derive(Default)]
struct Found {
    types: u32,
    functions: u32,
    /// The operations, without doubles.
    kinds: Vec<Bulk>,
    /// Where each is, in order: the instruction, and its place in `kinds`.
    places: Vec<(Range<usize>, usize)>,
    bodies: Vec<Range<usize>>,
}

impl Found {
    fn read(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        found.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        if matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                            found.functions += 1;
                        }
                    }
                }
                Payload::FunctionSection(functions) => found.functions += functions.count(),
                Payload::CodeSectionEntry(body) => found.read_body(&body)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn read_body(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        self.bodies.push(body.range());
        let mut operators = body.get_operators_reader()?;
        let mut constant = None;
        while !operators.eof() {
            let (operator, from) = operators.read_with_offset()?;
            let kind = match operator {
                Operator::MemoryFill { mem } => Some(Bulk::Fill { memory: mem }),
                Operator::MemoryCopy { dst_mem, src_mem } => Some(Bulk::Copy {
                    to: dst_mem,
                    from: src_mem,
                }),
                _ => None,
            };
            if let Some(kind) = kind
                && constant.is_none_or(|length| length > SHORT_BYTES)
            {
                let known = self.kinds.iter().position(|known| *known == kind);
                let number = known.unwrap_or_else(|| {
                    self.kinds.push(kind);
                    self.kinds.len() - 1
                });
                self.places
                    .push((from..operators.original_position(), number));
            }
            constant = match operator {
                Operator::I32Const { value } => Some(value.cast_unsigned()),
                _ => None,
            };
        }
        Ok(())
    }

    /// The whole module anew.
    fn written(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = bytes.get(..8)?.to_vec();
        let mut at = 8;
        while at < bytes.len() {
            let id = bytes[at];
            let mut start = at + 1;
            let length = number(bytes, &mut start)? as usize;
            let end = start.checked_add(length)?;
            let content = bytes.get(start..end)?;
            let mut changed = Vec::new();
            match id {
                TYPE_SECTION => more(&mut changed, content, 1, &FUNCTION_TYPE)?,
                FUNCTION_SECTION => {
                    let count = u32::try_from(self.kinds.len()).ok()?;
                    let mut types = Vec::new();
                    for _ in 0..count {
                        write_number(&mut types, self.types);
                    }
                    more(&mut changed, content, count, &types)?;
                }
                CODE_SECTION => self.write_code(&mut changed, bytes)?,
                _ => changed.extend_from_slice(content),
            }
            out.push(id);
            write_number(&mut out, u32::try_from(changed.len()).ok()?);
            out.append(&mut changed);
            at = end;
        }
        Some(out)
    }

    fn write_code(&self, out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
        let count = self.bodies.len() + self.kinds.len();
        write_number(out, u32::try_from(count).ok()?);
        let mut places = self.places.iter().peekable();
        for body in &self.bodies {
            let mut code = Vec::with_capacity(body.len());
            let mut at = body.start;
            while let Some((place, kind)) = places.next_if(|(place, _)| place.start < body.end) {
                code.extend_from_slice(bytes.get(at..place.start)?);
                code.push(0x10);
                write_number(&mut code, self.functions + u32::try_from(*kind).ok()?);
                at = place.end;
            }
            code.extend_from_slice(bytes.get(at..body.end)?);
            write_body(out, &code)?;
        }
        for kind in &self.kinds {
            write_body(out, &kind.function())?;
        }
        Some(())
    }
}

// Instructions, by their bytes (WebAssembly core specification, 5.4).
const BLOCK: [u8; 2] = [0x02, 0x40];
const LOOP: [u8; 2] = [0x03, 0x40];
const IF: [u8; 2] = [0x04, 0x40];
const ELSE: u8 = 0x05;
const END: u8 = 0x0b;
const BR_IF_0: [u8; 2] = [0x0d, 0];
const I32_GT_U: u8 = 0x4b;
const I32_LE_U: u8 = 0x4d;
const I64_GT_U: u8 = 0x56;
const I32_ADD: u8 = 0x6a;
const I32_SUB: u8 = 0x6b;
const I64_ADD: u8 = 0x7c;
const I64_SHL: u8 = 0x86;
const I64_EXTEND_I32_U: u8 = 0xad;

/// The parameters of each of the functions; the second is a value to fill with, or where to copy from.
const TO: u8 = 0;
const SECOND: u8 = 1;
const LENGTH: u8 = 2;

/// A function's body.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn op(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn get(&mut self, local: u8) -> &mut Self {
        self.op(&[0x20, local])
    }

    fn set(&mut self, local: u8) -> &mut Self {
        self.op(&[0x21, local])
    }

    fn step(&mut self) -> &mut Self {
        self.op(&[0x41]);
        // The step has no bit where a sign would be.
        write_signed(&mut self.0, BULK_STEP_BYTES);
        self
    }

    /// Leaves the block where this place and the length lie beyond the memory.
    fn leave_beyond(&mut self, place: u8, memory: u32) -> &mut Self {
        self.get(place).op(&[I64_EXTEND_I32_U]);
        self.get(LENGTH).op(&[I64_EXTEND_I32_U, I64_ADD]);
        self.op(&[0x3f]);
        write_number(&mut self.0, memory);
        self.op(&[I64_EXTEND_I32_U, 0x42, 16, I64_SHL, I64_GT_U])
            .op(&BR_IF_0)
    }

    fn do_it(&mut self, kind: Bulk) -> &mut Self {
        match kind {
            Bulk::Fill { memory } => {
                self.op(&[0xfc, 11]);
                write_number(&mut self.0, memory);
            }
            Bulk::Copy { to, from } => {
                self.op(&[0xfc, 10]);
                write_number(&mut self.0, to);
                write_number(&mut self.0, from);
            }
        }
        self
    }

    /// A step is added to what this local is, or taken off.
    fn move_by_step(&mut self, local: u8, operation: u8) -> &mut Self {
        self.get(local).step().op(&[operation]).set(local)
    }

    /// Once more, as long as more than a step is left.
    fn once_more(&mut self) -> &mut Self {
        self.get(LENGTH)
            .step()
            .op(&[I32_GT_U])
            .op(&BR_IF_0)
            .op(&[END])
    }
}

impl Bulk {
    /// Parts of one step each while more than that is left, then the rest.
    fn function(self) -> Vec<u8> {
        let mut body = Body(vec![0]);
        body.op(&BLOCK);
        body.get(LENGTH).step().op(&[I32_LE_U]).op(&BR_IF_0);
        match self {
            Self::Fill { memory } => {
                body.leave_beyond(TO, memory).op(&LOOP);
                body.get(TO).get(SECOND).step().do_it(self);
                body.move_by_step(TO, I32_ADD)
                    .move_by_step(LENGTH, I32_SUB)
                    .once_more();
            }
            Self::Copy { to, from } => {
                body.leave_beyond(TO, to).leave_beyond(SECOND, from);
                // Where they overlap, what is read later must not have been written: from the end, where it goes upwards.
                body.get(TO).get(SECOND).op(&[I32_GT_U]).op(&IF);
                body.op(&LOOP).move_by_step(LENGTH, I32_SUB);
                body.get(TO).get(LENGTH).op(&[I32_ADD]);
                body.get(SECOND).get(LENGTH).op(&[I32_ADD]);
                body.step().do_it(self).once_more();
                body.op(&[ELSE]).op(&LOOP);
                body.get(TO).get(SECOND).step().do_it(self);
                body.move_by_step(TO, I32_ADD)
                    .move_by_step(SECOND, I32_ADD)
                    .move_by_step(LENGTH, I32_SUB)
                    .once_more()
                    .op(&[END]);
            }
        }
        body.op(&[END]);
        body.get(TO).get(SECOND).get(LENGTH).do_it(self).op(&[END]);
        body.0
    }
}

/// A section with so many more entries.
fn more(out: &mut Vec<u8>, content: &[u8], count: u32, entries: &[u8]) -> Option<()> {
    let mut at = 0;
    let before = number(content, &mut at)?;
    write_number(out, before.checked_add(count)?);
    out.extend_from_slice(content.get(at..)?);
    out.extend_from_slice(entries);
    Some(())
}

fn write_body(out: &mut Vec<u8>, code: &[u8]) -> Option<()> {
    write_number(out, u32::try_from(code.len()).ok()?);
    out.extend_from_slice(code);
    Some(())
}

/// A number in LEB128.
fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u32::from(byte & 127).checked_shl(shift)?;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

fn write_number(out: &mut Vec<u8>, mut number: u32) {
    while number > 127 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The same as a number with a sign, which is positive.
fn write_signed(out: &mut Vec<u8>, mut number: u32) {
    while number > 63 {
        out.push(number as u8 & 127 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn what_does_nothing_of_it_is_left_as_it_is() {
        assert_eq!(in_steps(b"\0asm\x01\0\0\0"), None);
        assert_eq!(in_steps(b"no module"), None);
        assert_eq!(in_steps(b""), None);
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 1, 127, 128, 16_384, BULK_STEP_BYTES, u32::MAX] {
            let mut bytes = Vec::new();
            write_number(&mut bytes, value);
            let mut at = 0;
            assert_eq!(number(&bytes, &mut at), Some(value));
            assert_eq!(at, bytes.len());
        }
        assert_eq!(number(&[128], &mut 0), None);
    }
}
