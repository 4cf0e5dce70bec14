//! What a program's own header says: which machine it is for, and whether it needs a loader.

use super::ImageError;

const PROGRAM_HEADERS_AT: usize = 0x20;
const PROGRAM_HEADER_SIZE_AT: usize = 0x36;
const PROGRAM_HEADER_COUNT_AT: usize = 0x38;
const MACHINE_AT: usize = 0x12;
const INTERPRETER: u32 = 3;

/// The architecture of a static program, in the words of container images.
pub(super) fn architecture(program: &[u8]) -> Result<&'static str, ImageError> {
    // 64 bits, least significant byte first: all that images are made for here.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(ImageError::NotAProgram);
    }
    if wants_a_loader(program).ok_or(ImageError::NotAProgram)? {
        return Err(ImageError::Dynamic);
    }
    match u16_at(program, MACHINE_AT) {
        Some(0x3e) => Ok("amd64"),
        Some(0xb7) => Ok("arm64"),
        _ => Err(ImageError::NotAProgram),
    }
}

fn wants_a_loader(program: &[u8]) -> Option<bool> {
    let start = usize::try_from(u64_at(program, PROGRAM_HEADERS_AT)?).ok()?;
    let size = usize::from(u16_at(program, PROGRAM_HEADER_SIZE_AT)?);
    for number in 0..usize::from(u16_at(program, PROGRAM_HEADER_COUNT_AT)?) {
        if u32_at(program, start.checked_add(number * size)?)? == INTERPRETER {
            return Some(true);
        }
    }
    Some(false)
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    at(bytes, place).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    at(bytes, place).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], place: usize) -> Option<u64> {
    at(bytes, place).map(u64::from_le_bytes)
}

fn at<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place..place.checked_add(N)?)?.try_into().ok()
}
