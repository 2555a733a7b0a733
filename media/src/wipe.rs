//! What work left on a thread's stack. The heap is wiped as it is let go; a stack keeps its last frames of sound until other
//! work goes as deep.

/// Deeper than any work with sound goes here, and an eighth of a thread's stack.
const ROOM: usize = 256 * 1024;

/// Overwrites what lies below the caller's own frame.
#[inline(never)]
pub fn wipe_stack() {
    let mut room = [0u8; ROOM];
    std::hint::black_box(&mut room);
}
