//! Checks that a pattern determines the place of the address.
//!
//! The check follows two readings of the same line through the pattern's state
//! machine at once, byte by byte. The start is ambiguous if one reading can be
//! before the address while the other is inside it, and both complete the
//! address, whatever follows: then a text before the address could pass for it.
//! The end is ambiguous if both start the address together and match the whole
//! pattern, but one ends it earlier. The check visits every reachable pair of
//! states, so it finds every ambiguity. (This is the classic ambiguity test for
//! automata.)

use std::collections::HashSet;

use regex_automata::PatternID;
use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

/// Why a pattern does not determine the address. An ambiguous start or end has the
/// shortest line that shows it, and the two texts that could be the address, all
/// escaped.
#[derive(Debug)]
pub(super) enum Ambiguous {
    /// The start of the address is ambiguous.
    Start { line: String, hosts: [String; 2] },
    /// The end of the address is ambiguous.
    End { line: String, hosts: [String; 2] },
    /// A line can match without an address, or with several.
    NotOnce,
    /// The pattern has too many pairs of states.
    TooLarge,
}

/// The most pairs of states that are visited.
const MOST_PAIRS: usize = 100_000;

/// Checks an anchored pattern whose group `host` is the address.
pub(super) fn certain(nfa: &NFA, host: &str) -> Result<(), Ambiguous> {
    let host = nfa.group_info().to_index(PatternID::ZERO, host);
    let host = host.ok_or(Ambiguous::NotOnce)?;
    let machine = |whole| Machine { nfa, host, whole };
    if let Some((line, hosts)) = machine(false).two_readings()? {
        return Err(Ambiguous::Start { line, hosts });
    }
    if let Some((line, hosts)) = machine(true).two_readings()? {
        return Err(Ambiguous::End { line, hosts });
    }
    Ok(())
}

/// How much of the address a reading has consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    Before,
    Inside,
    Behind,
}

/// The position of a reading, after all steps that consume no byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NfaPlace {
    /// In a state that consumes a byte.
    State(StateID),
    /// The whole pattern has matched; any bytes may follow.
    Matched,
    /// The whole pattern has matched, and no byte may follow.
    Ended,
}

type Reading = (NfaPlace, Phase);

struct Machine<'nfa> {
    nfa: &'nfa NFA,
    host: usize,
    /// Whether a reading is complete only after the whole pattern; `false`: it is
    /// complete after the address.
    whole: bool,
}

/// Two readings of the same bytes, and the pair from which they were reached.
struct Pair {
    readings: [Reading; 2],
    /// Whether a byte so far belongs to the address in only one of the readings.
    apart: bool,
    /// The index of the previous pair, and the byte that leads from it to this one.
    from: Option<(usize, u8)>,
}

impl Machine<'_> {
    /// The shortest line in which two readings find different addresses, and these
    /// addresses; `None` if there is no such line.
    fn two_readings(&self) -> Result<Option<(String, [String; 2])>, Ambiguous> {
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        let start = self.settle(self.nfa.start_anchored(), Phase::Before)?;
        extend(&mut pairs, &mut seen, [&start, &start], false, None);
        let mut next = 0;
        while let Some(pair) = pairs.get(next) {
            let [a, b] = pair.readings;
            let complete = |(place, _)| matches!(place, NfaPlace::Matched | NfaPlace::Ended);
            if pair.apart && complete(a) && complete(b) {
                return Ok(Some(spell(&pairs, next)));
            }
            let apart = pair.apart || self.differ(a.1, b.1);
            let digit = if a.1.max(b.1) == Phase::Behind {
                b'9'
            } else {
                b'1'
            };
            for (low, high, a) in self.moves(a)? {
                for (other_low, other_high, b) in self.moves(b)? {
                    if let Some(byte) = sample(low.max(other_low), high.min(other_high), digit) {
                        extend(&mut pairs, &mut seen, [&a, &b], apart, Some((next, byte)));
                    }
                }
            }
            if pairs.len() > MOST_PAIRS {
                return Err(Ambiguous::TooLarge);
            }
            next += 1;
        }
        Ok(None)
    }

    /// Whether the next byte belongs to the address in only one of the
    /// readings.
    fn differ(&self, a: Phase, b: Phase) -> bool {
        if self.whole {
            a != b
        } else {
            (a == Phase::Before) != (b == Phase::Before)
        }
    }

    /// The ranges of the next byte, and the readings that follow each.
    fn moves(&self, (place, phase): Reading) -> Result<Vec<(u8, u8, Vec<Reading>)>, Ambiguous> {
        let id = match place {
            NfaPlace::State(id) => id,
            NfaPlace::Matched => return Ok(vec![(0, u8::MAX, vec![(place, phase)])]),
            NfaPlace::Ended => return Ok(Vec::new()),
        };
        let ranges: Vec<_> = match self.nfa.state(id) {
            State::ByteRange { trans } => vec![*trans],
            State::Sparse(sparse) => sparse.transitions.to_vec(),
            State::Dense(dense) => (0..=u8::MAX)
                .filter_map(|byte| {
                    let next = dense.matches_byte(byte)?;
                    Some(Transition {
                        start: byte,
                        end: byte,
                        next,
                    })
                })
                .collect(),
            _ => Vec::new(),
        };
        let settled = ranges.into_iter().map(|range| {
            let readings = self.settle(range.next, phase)?;
            Ok((range.start, range.end, readings))
        });
        settled.collect()
    }

    /// Follows transitions that consume no byte. `^` is assumed to match
    /// everywhere, which can only make more lines match.
    fn settle(&self, id: StateID, phase: Phase) -> Result<Vec<Reading>, Ambiguous> {
        let mut readings = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![(id, phase, false)];
        while let Some(at @ (id, phase, ended)) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.nfa.state(id) {
                State::Union { alternates } => {
                    open.extend(alternates.iter().map(|next| (*next, phase, ended)));
                }
                State::BinaryUnion { alt1, alt2 } => {
                    open.extend([(*alt1, phase, ended), (*alt2, phase, ended)]);
                }
                State::Look { look, next } => {
                    open.push((*next, phase, ended || *look == Look::End))
                }
                State::Capture { next, slot, .. } => {
                    let phase = self.cross(slot.as_usize(), phase)?;
                    if phase == Phase::Behind && !self.whole {
                        readings.push((NfaPlace::Matched, phase));
                    } else {
                        open.push((*next, phase, ended));
                    }
                }
                State::Match { .. } if phase != Phase::Behind => return Err(Ambiguous::NotOnce),
                State::Match { .. } if ended => readings.push((NfaPlace::Ended, phase)),
                State::Match { .. } => readings.push((NfaPlace::Matched, phase)),
                State::Fail => {}
                _ if ended => {}
                _ => readings.push((NfaPlace::State(id), phase)),
            }
        }
        Ok(readings)
    }

    /// The phase after the capture `slot`, which is the start or the end of a group. An
    /// error if the address starts a second time.
    fn cross(&self, slot: usize, phase: Phase) -> Result<Phase, Ambiguous> {
        match (slot.checked_sub(2 * self.host), phase) {
            (Some(0), Phase::Before) => Ok(Phase::Inside),
            (Some(0), _) => Err(Ambiguous::NotOnce),
            (Some(1), _) => Ok(Phase::Behind),
            _ => Ok(phase),
        }
    }
}

fn extend(
    pairs: &mut Vec<Pair>,
    seen: &mut HashSet<([Reading; 2], bool)>,
    [a, b]: [&[Reading]; 2],
    apart: bool,
    from: Option<(usize, u8)>,
) {
    for a in a {
        for b in b {
            let readings = [*a, *b];
            if seen.insert((readings, apart)) {
                pairs.push(Pair {
                    readings,
                    apart,
                    from,
                });
            }
        }
    }
}

/// Chooses a byte of the range that a line can contain, preferably a readable
/// one; `None` if there is none.
fn sample(low: u8, high: u8, digit: u8) -> Option<u8> {
    let liked = [digit].into_iter().chain(*b"x[]() :.").chain(b'!'..=b'~');
    let mut bytes = liked.chain(0..=u8::MAX);
    bytes.find(|byte| (low..=high).contains(byte) && *byte != b'\n')
}

/// The line that leads to a pair, and the address in each reading.
fn spell(pairs: &[Pair], last: usize) -> (String, [String; 2]) {
    let mut line = Vec::new();
    let mut hosts = [Vec::new(), Vec::new()];
    let mut at = pairs.get(last);
    while let Some((before, byte)) = at.and_then(|pair| pair.from) {
        line.push(byte);
        at = pairs.get(before);
        let readings = at.map(|pair| pair.readings);
        for (host, reading) in hosts.iter_mut().zip(readings.into_iter().flatten()) {
            if reading.1 == Phase::Inside {
                host.push(byte);
            }
        }
    }
    let text = |bytes: &[u8]| {
        let bytes: Vec<u8> = bytes.iter().rev().copied().collect();
        bytes.escape_ascii().to_string()
    };
    let [first, second] = hosts;
    (text(&line), [text(&first), text(&second)])
}
