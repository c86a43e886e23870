//! Functions one after the other in one piece of memory, and the calls between them.

use super::Failure;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{self, ExternalName, LibCall};
use cranelift_codegen::{CompiledCode, FinalizedRelocTarget};

/// The compiled bytes of one function, and where they name others.
pub(crate) struct Function {
    bytes: Vec<u8>,
    names: Vec<Name>,
}

struct Name {
    at: usize,
    reloc: Reloc,
    target: Target,
    addend: i64,
}

#[derive(Clone, Copy)]
enum Target {
    /// One of ours, by its number.
    Function(u32),
    /// A place in the function itself.
    Here(u32),
    /// A function of this program, by its address.
    Address(usize),
}

const ALIGNMENT: usize = 16;

impl Function {
    pub(super) fn new(compiled: &CompiledCode, function: &ir::Function) -> Result<Self, Failure> {
        let mut names = Vec::new();
        for reloc in compiled.buffer.relocs() {
            let target = match &reloc.target {
                FinalizedRelocTarget::ExternalName(ExternalName::User(name)) => {
                    Target::Function(function.params.user_named_funcs()[*name].index)
                }
                FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => {
                    Target::Address(address(*call)?)
                }
                FinalizedRelocTarget::Func(offset) => Target::Here(*offset),
                other => return Err(Failure::Machine(format!("unknown name {other:?}"))),
            };
            names.push(Name {
                at: reloc.offset as usize,
                reloc: reloc.kind,
                target,
                addend: reloc.addend,
            });
        }
        Ok(Self {
            bytes: compiled.code_buffer().to_vec(),
            names,
        })
    }
}

/// What old processors have no instruction for.
fn address(call: LibCall) -> Result<usize, Failure> {
    extern "C" fn ceil(x: f64) -> f64 {
        x.ceil()
    }
    extern "C" fn floor(x: f64) -> f64 {
        x.floor()
    }
    extern "C" fn trunc(x: f64) -> f64 {
        x.trunc()
    }
    extern "C" fn nearest(x: f64) -> f64 {
        x.round_ties_even()
    }
    let function: extern "C" fn(f64) -> f64 = match call {
        LibCall::CeilF64 => ceil,
        LibCall::FloorF64 => floor,
        LibCall::TruncF64 => trunc,
        LibCall::NearestF64 => nearest,
        other => return Err(Failure::Machine(format!("no function {other}"))),
    };
    Ok(function as *const () as usize)
}

/// The bytes of all functions, as they are to lie in memory. The first begins them.
pub(crate) fn link(functions: &[Function]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for function in functions {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        starts.push(bytes.len());
        bytes.extend_from_slice(&function.bytes);
    }
    for (function, start) in functions.iter().zip(&starts) {
        for name in &function.names {
            let at = start + name.at;
            let target = match name.target {
                Target::Function(number) => starts.get(number as usize).copied(),
                Target::Here(offset) => Some(start + offset as usize),
                Target::Address(_) => None,
            };
            let unknown = || Failure::Machine(format!("a name of kind {:?}", name.reloc));
            let near = target.map(|target| target as i64 + name.addend - at as i64);
            let mut put = |value: &[u8]| match bytes.get_mut(at..at + value.len()) {
                Some(place) => {
                    place.copy_from_slice(value);
                    Ok(())
                }
                None => Err(unknown()),
            };
            match (name.reloc, name.target, near) {
                (Reloc::X86CallPCRel4 | Reloc::X86PCRel4, _, Some(near)) => {
                    let near = i32::try_from(near).map_err(|_| Failure::TooLarge)?;
                    put(&near.to_le_bytes())?;
                }
                (Reloc::Abs8, Target::Address(address), _) => {
                    put(&(address as i64).wrapping_add(name.addend).to_le_bytes())?;
                }
                (Reloc::Arm64Call, _, Some(near)) => {
                    // `bl`: 26 bits, in instructions.
                    let near = i32::try_from(near >> 2).map_err(|_| Failure::TooLarge)?;
                    if !(-(1 << 25)..1 << 25).contains(&near) {
                        return Err(Failure::TooLarge);
                    }
                    let Some(old) = bytes.get(at..at + 4) else {
                        return Err(unknown());
                    };
                    let old = u32::from_le_bytes([old[0], old[1], old[2], old[3]]);
                    let new = (old & !0x03ff_ffff) | (near as u32 & 0x03ff_ffff);
                    bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
                }
                _ => return Err(unknown()),
            }
        }
    }
    Ok(bytes)
}
