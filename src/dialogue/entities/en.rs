//! English: its words for numbers, days, yes and no, and its grammar of the clock.
//! It holds no sentence of any agent.

use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};

use super::super::text::Word;
use super::time::{Half, ends_at, phrase, written};
use super::{Clock, Language, Lexicon, number, text};

// One word a line would hide the lists' shape.
#[rustfmt::skip]
pub(super) static LEXICON: Lexicon = Lexicon {
    language: Language::English,
    cardinals: &[
        ("zero", 0), ("one", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 5), ("six", 6), ("seven", 7),
        ("eight", 8), ("nine", 9), ("ten", 10), ("eleven", 11), ("twelve", 12), ("thirteen", 13), ("fourteen", 14),
        ("fifteen", 15), ("sixteen", 16), ("seventeen", 17), ("eighteen", 18), ("nineteen", 19), ("twenty", 20),
        ("thirty", 30), ("forty", 40), ("fourty", 40), ("fifty", 50), ("sixty", 60), ("seventy", 70), ("eighty", 80),
        ("ninety", 90),
    ],
    ordinals: &[
        ("first", 1), ("second", 2), ("third", 3), ("fourth", 4), ("fifth", 5), ("sixth", 6), ("seventh", 7),
        ("eighth", 8), ("ninth", 9), ("tenth", 10), ("eleventh", 11), ("twelfth", 12), ("thirteenth", 13),
        ("fourteenth", 14), ("fifteenth", 15), ("sixteenth", 16), ("seventeenth", 17), ("eighteenth", 18),
        ("nineteenth", 19), ("twentieth", 20), ("thirtieth", 30),
    ],
    ordinal_suffixes: &["st", "nd", "rd", "th"],
    hundred: &["hundred"],
    digit_zero: &["oh", "o", "nought", "null"],
    digit_homophones: &[("to", 2), ("too", 2), ("for", 4), ("won", 1), ("ate", 8), ("sex", 6), ("tree", 3)],
    repeat_digit: &[("double", 2), ("triple", 3), ("treble", 3)],
    weekdays: &[
        ("monday", Monday), ("tuesday", Tuesday), ("wednesday", Wednesday), ("wensday", Wednesday),
        ("thursday", Thursday), ("friday", Friday), ("saturday", Saturday), ("sunday", Sunday),
    ],
    months: &[
        ("january", 1), ("february", 2), ("march", 3), ("april", 4), ("may", 5), ("june", 6), ("july", 7),
        ("august", 8), ("september", 9), ("october", 10), ("november", 11), ("december", 12), ("jan", 1), ("feb", 2),
        ("aug", 8), ("sept", 9), ("oct", 10), ("nov", 11), ("dec", 12),
    ],
    today: &["today", "tonight", "this morning", "this afternoon", "this evening"],
    tomorrow: &["tomorrow", "tomorrows"],
    after_tomorrow: &["day after tomorrow", "the day after tomorrow", "after tomorrow"],
    coming: &["next", "this", "this coming", "the coming", "coming", "the next", "the following", "on", "on the"],
    next_week: &["next week", "next week on", "the week after", "the following week"],
    article: &["the"],
    single: &["a", "an"],
    of: &["of", "in"],
    from_now: &["in"],
    days: &["day", "days", "days time"],
    weeks: &["week", "weeks", "weeks time"],
    time_leads: &["at", "around", "about", "by"],
    before_hour: &[],
    day_of_month: &["of this month", "of the month"],
    month_first: true,
    clear_yes: &[
        "yes", "yeah", "yep", "yup", "yea", "correct", "exactly", "that is right", "thats right", "that is correct",
        "thats correct", "thats it exactly", "of course", "absolutely", "definitely", "certainly", "please do",
        "sounds good", "sounds great", "that works", "works for me", "i do", "i would", "it is", "yes i would",
        "yes i do", "yes it is", "go ahead", "book it", "do it", "do that", "lets do that", "lets do it",
        "that would be great", "that would be good", "id like that", "i confirm",
    ],
    soft_yes: &[
        "okay", "ok", "uh huh", "uhhuh", "uh hu", "aha", "mm hm", "mm hmm", "mhm", "mmhmm", "sure", "right", "fine",
        "thats fine", "good", "thats good", "great", "perfect", "all good", "alright", "all right", "i see",
        "got it", "cool", "lovely", "wonderful", "very good", "understood", "all correct", "everything is correct",
        "okay then", // And how recognizers write "uh huh":
        "ah hi", "uh hi", "ah high", "uh high", "earth high",
    ],
    no: &[
        "no", "nope", "nah", "no no", "not really", "not now", "wrong", "thats wrong", "that is wrong", "incorrect",
        "thats incorrect", "not correct", "thats not correct", "not right", "thats not right", "that is not right",
        "its wrong", "its not", "i dont want that", "i dont think so", "id rather not", "dont do that", "no way",
        "not quite", "it isnt", "no it isnt", "no its not", "no thats wrong",
    ],
    enough: &[
        "thats all", "that is all", "that will be all", "thatll be all", "thats it", "nothing", "nothing else",
        "thats everything", "im good", "im fine", "no im good", "all done", "not at the moment",
    ],
    negations: &["not", "dont", "no", "nope", "wrong", "incorrect", "isnt", "never", "but", "change"],
    fillers: &["um", "uh", "er", "erm", "hmm", "hm", "mm", "ah", "oh", "well", "so", "like", "huh"],
    noise: &[
        "okay", "ok", "perfect", "great", "please", "actually", "just", "then", "yes", "yeah", "can you tell me", "could you tell me",
        "id like to know", "i would like to know", "i want to know", "i was wondering", "i was wondering if",
        "tell me", "do you know",
    ],
    polite: &[
        "thanks a lot", "thank you so much", "thanks so much", "please", "thank", "thanks", "you", "very", "much", "sir",
        "madam", "then",
    ],
    function_words: &[
        "a", "an", "the", "is", "are", "be", "it", "its", "to", "for", "of", "on", "in", "and", "or", "but", "at",
        "what", "about", "how", "do", "does", "you", "your", "me", "my", "i", "id", "im", "we", "us", "can", "could",
        "would", "like", "please", "want", "will", "that", "thats", "this", "there", "have", "any", "some", "so",
        "well", "um", "uh", "er", "then", "also", "just", "maybe", "with", "from", "by", "actually", "perhaps",
        "lets", "let", "say", "make", "ok", "okay", "yes", "no", "if", "possible", "not", "sorry", "oh", "rather",
        "better", "instead", "he", "she", "they", "next", "around", "now", "day", "time", "hi", "hello", "thanks",
    ],
    common_words: &[
        "able", "accept", "again", "ago", "all", "allowed", "almost", "already", "alone", "always", "am", "another",
        "anybody", "anyone", "anything", "anyway", "are", "around", "as", "ask", "asking", "at", "away", "bad",
        "because", "been", "before", "being", "best", "bit", "both", "bring", "business", "but", "call", "called",
        "calling", "came", "cant", "check", "choose", "come", "comes", "coming", "could", "couldnt", "course", "did",
        "didnt", "different", "do", "does", "doesnt", "doing", "dont", "done", "down", "during", "each", "early",
        "either", "else", "enough", "even", "ever", "every", "everything", "exactly", "far", "few", "find", "fine",
        "first", "for", "found", "four", "from", "full", "get", "gets", "getting", "give", "given", "go", "goes",
        "going", "gone", "good", "got", "great", "guys", "had", "happen", "hard", "has", "hasnt", "have", "havent",
        "having", "he", "hear", "heard", "help", "her", "here", "him", "his", "how", "however", "hope", "i", "id",
        "if", "ill", "im", "in", "into", "is", "isnt", "it", "its", "ive", "just", "keep", "kind", "know", "known",
        "last", "late", "later", "least", "leave", "let", "lets", "like", "little", "live", "long", "look", "looked",
        "looking", "lot", "lots", "made", "make", "makes", "many", "may", "maybe", "mean", "might", "mine", "more",
        "most", "much", "must", "near", "need", "needed", "needs", "never", "new", "nice", "no", "nobody", "none",
        "not", "nothing", "now", "number", "of", "off", "offer", "often", "ok", "on", "once", "one", "only", "onto",
        "or", "other", "others", "our", "out", "over", "own", "people", "perhaps", "place", "plan", "please",
        "possible", "probably", "put", "question", "quick", "quite", "really", "right", "said", "same", "saw", "say",
        "saying", "see", "seem", "seen", "she", "shes", "should", "show", "since", "so", "some", "somebody",
        "someone", "something", "sometimes", "somewhere", "soon", "sorry", "speak", "speaking", "start", "still",
        "stop", "such", "sure", "take", "takes", "taken", "taking", "talk", "talking", "tell", "than", "thanks",
        "that", "thats", "the", "their", "them", "then", "there", "theres", "these", "they", "theyre", "thing",
        "things", "think", "this", "those", "though", "three", "through", "till", "time", "times", "to", "today",
        "together", "told", "tomorrow", "too", "took", "tried", "try", "trying", "two", "under", "understand",
        "unfortunately", "until", "up", "us", "use", "used", "using", "usually", "very", "wait", "waiting", "want",
        "wanted", "wanting", "wants", "was", "way", "we", "well", "went", "were", "what", "whatever", "whats", "hows", "whats",
        "when", "whens", "where", "wheres", "whether", "which", "while", "who", "whole", "whos", "why", "will",
        "wish", "with", "without", "wondering", "word", "work", "works", "would", "wouldnt", "wrong", "yes",
        "yesterday", "yet", "you", "youd", "youll", "your", "youre", "yours", "youve",
    ],
    name_leads: &[
        "my name is", "my names", "my name", "the name is", "the names", "names", "name is", "this is", "i am", "im",
        "its", "it is", "call me", "under the name", "under the name of", "under", "for", "that is", "thats",
        "the name", "for mister", "mister", "missus", "under the name is", "put it under", "put down",
    ],
    strong_name_leads: &["my name is", "my names", "the name is", "under the name", "under the name of"],
    never_names: &[
        "a", "an", "the", "is", "are", "to", "of", "and", "or", "but", "what", "whats", "about", "how", "do", "does",
        "did", "you", "your", "me", "my", "i", "id", "we", "can", "could", "would", "like", "please", "want", "that",
        "thats", "this", "there", "have", "any", "some", "so", "then", "just", "with", "from", "by", "why", "who",
        "when", "where", "which", "not", "dont", "no", "yes", "okay", "ok", "uh", "um", "huh", "hmm", "sorry",
        "again", "wait", "stop", "appointment", "book", "booking", "number", "phone", "name", "tell", "know",
        "already", "said", "give", "need", "on", "at", "in", "it", "its", "im", "hello", "hi", "sure", "right",
        "calling", "looking", "trying", "here", "speaking", "was", "were", "has", "tomorrow", "today", "for",
    ],
};

/// "in the morning", "p.m.", "tonight".
pub(super) fn part_of_day(words: &[Word], i: usize) -> Option<(Half, usize)> {
    let am = ["am", "in the morning", "in morning", "morning", "this morning"];
    let pm = [
        "pm",
        "in the afternoon",
        "in afternoon",
        "afternoon",
        "this afternoon",
        "in the evening",
        "evening",
        "this evening",
        "tonight",
        "at night",
    ];
    (phrase(words, i, &am).map(|length| (Half::Am, length)))
        .or_else(|| phrase(words, i, &pm).map(|length| (Half::Pm, length)))
}

/// A time that begins at word `i`, and how many words it covers.
pub(super) fn time_at(words: &[Word], i: usize, lexicon: &Lexicon, asked: bool) -> Option<(Clock, usize)> {
    let lead = phrase(words, i, lexicon.time_leads).unwrap_or(0);
    let start = i + lead;
    if let Some(length) = phrase(words, start, &["noon", "midday", "twelve noon", "12 noon"]) {
        return Clock::new(12, 0, Half::Pm).map(|clock| (clock, lead + length));
    }
    let (hour, minute, end, sure) =
        past_or_to(words, start, lexicon).or_else(|| hour_first(words, start, lexicon, asked))?;
    let (half, part) = part_of_day(words, end).unwrap_or((Half::Open, 0));
    let end = end + part;
    // "about five people" and "five" in a story are no times.
    let led = lead > 0 && text(words, i) == "at";
    let sure = sure || part > 0 || ((led || asked) && ends_at(words, end, lexicon));
    Clock::new(hour, minute, half).filter(|_| sure).map(|clock| (clock, end - i))
}

/// "half past ten", "a quarter to nine", "twenty past three", British "half ten": hour, minute, end, sure.
fn past_or_to(words: &[Word], i: usize, lexicon: &Lexicon) -> Option<(u32, u32, usize, bool)> {
    let article = usize::from(text(words, i) == "a");
    let (minutes, mut j) = match text(words, i + article) {
        "half" => (30, i + article + 1),
        "quarter" => (15, i + article + 1),
        _ => number::cardinal(words, i, lexicon).map(|(n, length)| (n, i + length))?,
    };
    j += phrase(words, j, &["minutes", "minute"]).unwrap_or(0);
    let to = phrase(words, j, &["to", "before", "till", "two", "too"]);
    let past = phrase(words, j, &["past", "after", "passed", "pass"]);
    let british_half = minutes == 30 && text(words, i) == "half";
    let (length, is_to) = match (past, to) {
        (Some(length), _) => (length, false),
        (None, Some(length)) if text(words, j) == "to" || minutes == 15 => (length, true),
        _ if british_half => (0, false),
        _ => return None,
    };
    let (hour, hour_length) =
        number::cardinal(words, j + length, lexicon).filter(|(hour, _)| (1..=12).contains(hour))?;
    let end = j + length + hour_length;
    let end = end + phrase(words, end, &["oclock", "o clock"]).unwrap_or(0);
    match is_to {
        true => Some((if hour == 1 { 12 } else { hour - 1 }, 60_u32.checked_sub(minutes)?, end, true)),
        false => Some((hour, minutes, end, true)),
    }
}

/// "10:30", "three thirty", "ten oh five", "three o'clock", "three": hour, minute, end, sure.
fn hour_first(words: &[Word], i: usize, lexicon: &Lexicon, asked: bool) -> Option<(u32, u32, usize, bool)> {
    let after_lead = i > 0 && lexicon.time_leads.contains(&text(words, i - 1));
    if let Some((hour, minute)) = written(text(words, i), asked || after_lead) {
        return Some((hour, minute, i + 1, true));
    }
    let (hour, length) = number::cardinal(words, i, lexicon)?;
    let end = i + length;
    if let Some(oclock) = phrase(words, end, &["oclock", "o clock"]) {
        return Some((hour, 0, end + oclock, true));
    }
    if let Some(zero) = phrase(words, end, &["oh", "o", "zero"])
        && let Some((minute, length)) = number::cardinal(words, end + zero, lexicon).filter(|(m, _)| *m < 10)
    {
        return Some((hour, minute, end + zero + length, true));
    }
    if phrase(words, end, lexicon.hundred).is_some() {
        return Some((hour, 0, end + 1, hour > 12));
    }
    match number::cardinal(words, end, lexicon) {
        Some((minute, length)) if (10..60).contains(&minute) && hour < 24 => Some((hour, minute, end + length, true)),
        _ => Some((hour, 0, end, false)),
    }
}
