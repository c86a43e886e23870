//! What it will cost to turn a function into machine code, before it is done.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Value, ValueDef};

/// The most that the functions of one compilation may cost: about two seconds.
///
/// Registers are given out in a time that grows with [`registers`], 0.5 ns for each: 200 loops with 64 variables that each
/// changes are 1.3e9 and took 0.7 s, 400 such loops 5.2e9 and 2.7 s; 2,500 `if` around an assignment to one of 120 variables
/// 1.5e9 and 1 s, 4,800 of them 5.5e9 and 3.9 s. With the bound there are about 130 MB in use meanwhile.
pub(super) const MAX_COST: u64 = 4_000_000_000;

/// What it costs to read again where an array is: 4 µs for each of the two numbers, and more than 1 KB.
pub(super) const READ: u64 = 20_000;

/// How many values come to blocks from several places, times how many are kept through how many blocks.
pub(super) fn registers(function: &Function) -> u64 {
    let dfg = &function.dfg;
    let mut order = SecondaryMap::<Block, usize>::new();
    for (number, block) in function.layout.blocks().enumerate() {
        order[block] = number;
    }
    let loops = Loops::of(function, &order);
    // The last block through which a value is kept.
    let mut last = SecondaryMap::<Value, usize>::new();
    let mut parameters = 0;
    let first = |value: Value| match dfg.value_def(value) {
        ValueDef::Result(instruction, _) => function.layout.inst_block(instruction),
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Union(..) => None,
    };
    for block in function.layout.blocks() {
        parameters += dfg.num_block_params(block) as u64;
        for instruction in function.layout.block_insts(block) {
            for value in dfg.inst_values(instruction) {
                let value = dfg.resolve_aliases(value);
                let made = first(value).map_or(0, |block| order[block]);
                let kept = loops.kept(made, order[block]);
                last[value] = last[value].max(kept);
            }
        }
    }
    let through = last.iter().map(|(value, last)| {
        let made = first(value).map_or(*last, |block| order[block]);
        last.saturating_sub(made) as u64
    });
    parameters.saturating_mul(through.sum())
}

/// The loops, by the numbers of their blocks.
struct Loops {
    /// The first and the last block, and the loop around it.
    loops: Vec<(usize, usize, Option<usize>)>,
    /// By the block.
    innermost: Vec<Option<usize>>,
}

impl Loops {
    fn of(function: &Function, order: &SecondaryMap<Block, usize>) -> Self {
        let dfg = &function.dfg;
        let mut ends = SecondaryMap::<Block, usize>::new();
        for block in function.layout.blocks() {
            let Some(last) = function.layout.last_inst(block) else {
                continue;
            };
            let targets =
                dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
            for target in targets {
                let head = target.block(&dfg.value_lists);
                if order[head] <= order[block] {
                    ends[head] = order[block] + 1;
                }
            }
        }
        let mut made = Self {
            loops: Vec::new(),
            innermost: Vec::new(),
        };
        let mut open: Option<usize> = None;
        for block in function.layout.blocks() {
            let number = order[block];
            while let Some(inner) = open
                && made.loops[inner].1 < number
            {
                open = made.loops[inner].2;
            }
            if let Some(end) = ends[block].checked_sub(1) {
                made.loops.push((number, end, open));
                open = Some(made.loops.len() - 1);
            }
            made.innermost.push(open);
        }
        made
    }

    /// The last block through which a value is kept that was made in one block, and is used in another: it is used again in
    /// the next turn of a loop that it comes from outside of.
    fn kept(&self, made: usize, used: usize) -> usize {
        let mut kept = used;
        let mut next = self.innermost[used];
        while let Some(number) = next {
            let (start, end, around) = self.loops[number];
            if start <= made {
                break;
            }
            kept = kept.max(end);
            next = around;
        }
        kept
    }
}
