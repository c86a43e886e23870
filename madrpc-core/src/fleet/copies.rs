//! Copies of calls that are under way, to be sent again.
//!
//! One for each small call, made and dropped a million times a second: they stand one behind the other in blocks, and a
//! block is used anew once none of its copies is left. One call that takes long keeps its whole block, so blocks are small.

/// Bytes of a block, unless one copy takes more.
const BLOCK_BYTES: usize = 16 * 1024;

/// Empty blocks that are kept for the next copies.
const SPARE_MAX: usize = 16;

/// Where a copy is, or [`Copied::NONE`]. It has to be dropped by [`Copies::drop`], and once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    block: u32,
    start: u32,
    bytes: u32,
}

impl Copied {
    /// No copy.
    pub const NONE: Self = Self {
        block: u32::MAX,
        start: 0,
        bytes: 0,
    };
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    copies: usize,
}

/// The copies of one router.
#[derive(Debug, Default)]
pub struct Copies {
    blocks: Vec<Block>,
    /// The one that copies are added to.
    current: usize,
    /// Those without copies, with their memory and without.
    spare: Vec<usize>,
    free: Vec<usize>,
    held_bytes: usize,
}

impl Copies {
    /// Memory that the blocks take.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Makes a copy of these, one behind the other.
    #[inline]
    pub fn add(&mut self, head: [u8; 8], rest: &[u8]) -> Copied {
        if self
            .blocks
            .get(self.current)
            .is_none_or(|block| block.bytes.len() >= BLOCK_BYTES)
        {
            self.begin_block();
        }
        let block = &mut self.blocks[self.current];
        let (start, held) = (block.bytes.len(), block.bytes.capacity());
        block.bytes.extend_from_slice(&head);
        block.bytes.extend_from_slice(rest);
        block.copies += 1;
        self.held_bytes += block.bytes.capacity() - held;
        Copied {
            block: self.current as u32,
            start: start as u32,
            bytes: (block.bytes.len() - start) as u32,
        }
    }

    fn begin_block(&mut self) {
        let block = self.spare.pop().or_else(|| self.free.pop());
        self.current = block.unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[self.current];
        if block.bytes.capacity() == 0 {
            // A little more, as the last copy may go beyond.
            block.bytes.reserve_exact(BLOCK_BYTES + 1024);
            self.held_bytes += block.bytes.capacity();
        }
    }

    /// What was copied.
    #[must_use]
    pub fn get(&self, copy: Copied) -> &[u8] {
        let block = self.blocks.get(copy.block as usize);
        let (start, bytes) = (copy.start as usize, copy.bytes as usize);
        let copied = block.and_then(|block| block.bytes.get(start..start + bytes));
        copied.unwrap_or_default()
    }

    /// The copy is of no use any more.
    #[inline]
    pub fn drop(&mut self, copy: Copied) {
        let number = copy.block as usize;
        let Some(block) = self.blocks.get_mut(number) else {
            return;
        };
        block.copies = block.copies.saturating_sub(1);
        if block.copies > 0 {
            return;
        }
        block.bytes.clear();
        let is_large = block.bytes.capacity() > 2 * BLOCK_BYTES;
        let is_current = number == self.current;
        if is_large || !is_current && self.spare.len() >= SPARE_MAX {
            self.held_bytes -= block.bytes.capacity();
            block.bytes = Vec::new();
        }
        match (is_current, block.bytes.capacity() > 0) {
            (true, _) => {}
            (false, true) => self.spare.push(number),
            (false, false) => self.free.push(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn copies_are_what_was_written_whatever_comes_and_goes() {
        let mut copies = Copies::default();
        let mut kept = VecDeque::new();
        for number in 0..20_000_usize {
            let bytes = vec![number as u8; 8 + number * 7 % 200];
            let (head, rest) = bytes.split_first_chunk().unwrap();
            let copy = copies.add(*head, rest);
            kept.push_back((copy, bytes));
            // Some go at once, most in order, some late.
            if number % 3 == 0 {
                let (copy, bytes) = kept.pop_back().unwrap();
                assert_eq!(copies.get(copy), bytes);
                copies.drop(copy);
            }
            if kept.len() > 1000 {
                let place = if number % 50 == 0 { 500 } else { 0 };
                let (copy, bytes) = kept.remove(place).unwrap();
                assert_eq!(copies.get(copy), bytes);
                copies.drop(copy);
            }
        }
        for (copy, bytes) in kept {
            assert_eq!(copies.get(copy), bytes);
            copies.drop(copy);
        }
        let spare = (SPARE_MAX + 1) * (BLOCK_BYTES + 1024);
        assert!(
            copies.held_bytes() <= spare,
            "{} bytes",
            copies.held_bytes()
        );
    }

    #[test]
    fn blocks_are_used_anew_and_large_ones_given_back() {
        let mut copies = Copies::default();
        for _ in 0..100_000 {
            let copy = copies.add([7; 8], &[7; 92]);
            copies.drop(copy);
        }
        assert!(
            copies.held_bytes() <= 2 * BLOCK_BYTES,
            "{} bytes",
            copies.held_bytes()
        );
        let large = copies.add([1; 8], &vec![1; (1 << 20) - 8]);
        assert!(copies.held_bytes() >= 1 << 20);
        assert_eq!(copies.get(large).len(), 1 << 20);
        copies.drop(large);
        assert!(copies.held_bytes() <= 2 * BLOCK_BYTES);
    }
}
