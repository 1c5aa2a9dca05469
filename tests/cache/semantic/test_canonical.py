"""Two prompts of one canonical form ask the same; a near miss never has the form of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cache.semantic.canonical import canonical
from pointsman.cache.semantic.guard import differs
from pointsman.cache.semantic.language import words

# Groups by the grammar that tells them apart. None of these may ever share an answer.
NEAR_MISSES = {
    "number": [
        ("How do I kill what listens on port 4100?", "How do I kill what listens on port 4101?"),
        ("List three uses of baking soda", "List five uses of baking soda"),
        ("What is 12% of 80?", "What is 80% of 12?"),
        ("What is 2.5 km in miles?", "What is 25 km in miles?"),
        ("Write a poem of ten lines", "Write a poem of twelve lines"),
        ("Who was the first man on the moon?", "Who was the second man on the moon?"),
        ("What happened on 3 May 1940?", "What happened on 5 March 1940?"),
        ("What happened in 2024-03-05?", "What happened in 2024-05-03?"),
        ("Is 91 prime?", "Is 97 prime?"),
        ("Legs of two dogs and three hens?", "Legs of three dogs and two hens?"),
    ],
    "unit": [
        ("Convert 5 miles to km", "Convert 5 km to miles"),
        ("How long are 5 feet in cm?", "How long are 5 inches in cm?"),
        ("Find files over 1 GB on Linux", "Find files over 1 MB on Linux"),
        ("What is 40 °c in °f?", "What is 40 °f in °c?"),
        ("How much is 30 euros in yen?", "How much is 30 dollars in yen?"),
        ("What time is it in Oslo when it is 9 AM in Perth?",
         "What time is it in Oslo when it is 9 PM in Perth?"),
    ],
    "direction": [
        ("How long is the flight from Ulm to Bari?", "How long is the flight from Bari to Ulm?"),
        ("What time is it in Oslo when it is 9 AM in Perth?",
         "What time is it in Perth when it is 9 AM in Oslo?"),
        ("If it's 9 AM in Oslo, what time is it in Perth?", "9 AM in Perth is what time in Oslo?"),
        ("Convert a tuple to a list in Python", "Convert a list to a tuple in Python"),
        ("Is copper harder than zinc?", "Is zinc harder than copper?"),
        ("Does stress cause headaches?", "Do headaches cause stress?"),
        ("Did Rome conquer Carthage?", "Did Carthage conquer Rome?"),
        ("How do I copy a file from the server to my laptop?",
         "How do I copy a file from my laptop to the server?"),
        ("Should I stretch before I run?", "Should I run before I stretch?"),
        ("Should I eat before the gym?", "Should I eat after the gym?"),
        ("How do I merge main into dev?", "How do I merge dev into main?"),
        ("Why do dogs chase cats?", "Why do cats chase dogs?"),
        ("Subtract 5 from 9", "Subtract 9 from 5"),
        ("What is 7 minus 3?", "What is 3 minus 7?"),
        ("A gift for a girl from a boy", "A gift for a boy from a girl"),
        ("Why use Go over Rust?", "Why use Rust over Go?"),
        ("Use tabs instead of spaces in vim", "Use spaces instead of tabs in vim"),
    ],
    "negation": [
        ("Cook rice with salt", "Cook rice without salt"),
        ("Which birds can fly?", "Which birds can not fly?"),
        ("Which birds can fly?", "Which birds can't fly?"),
        ("Sort a list using recursion in Go", "Sort a list without using recursion in Go"),
        ("Why does my car start in the cold?", "Why does my car not start in the cold?"),
        ("Is it true that all cats don't like water?", "Is it true that not all cats like water?"),
        ("List all primes except 2", "List all primes and 2"),
        ("Is a non profit taxed?", "Is a profit taxed?"),
        ("Should I never eat bread?", "Should I eat bread?"),
    ],
    "opposite": [
        ("How do I turn on Bluetooth on a Mac?", "How do I turn off Bluetooth on a Mac?"),
        ("How do I enable the firewall?", "How do I disable the firewall?"),
        ("What is the oldest bridge in Spain?", "What is the newest bridge in Spain?"),
        ("What is the largest lake in Chad?", "What is the smallest lake in Chad?"),
        ("Sort numbers in ascending order in Perl", "Sort numbers in descending order in Perl"),
        ("How do I accept a job offer?", "How do I decline a job offer?"),
        ("How do I install Docker?", "How do I uninstall Docker?"),
        ("What are the pros of nuclear power?", "What are the cons of nuclear power?"),
        ("How do I delete a local branch?", "How do I delete a remote branch?"),
        ("What is the first letter of the Greek alphabet?",
         "What is the last letter of the Greek alphabet?"),
        ("Read a CSV file in Julia", "Write a CSV file in Julia"),
        ("How do I undo a commit in git?", "How do I redo a commit in git?"),
    ],
    "quantifier": [
        ("Are all swans white?", "Are some swans white?"),
        ("Is there at least 5 kg of salt?", "Is there at most 5 kg of salt?"),
        ("Countries with more than 5 million people", "Countries with less than 5 million people"),
        ("Countries with more than 5 million people", "Countries with at least 5 million people"),
        ("Name both moons of Mars", "Name each moons of Mars"),
        ("Can only adults vote?", "Can adults vote?"),
        ("Which foods have the most zinc?", "Which foods have the least zinc?"),
    ],
    "question": [
        ("How do vaccines work?", "Why do vaccines work?"),
        ("When was the treaty signed?", "Where was the treaty signed?"),
        ("Who wrote the anthem?", "When did they write the anthem?"),
        ("What can pregnant women eat?", "Can pregnant women eat?"),
        ("Write a haiku about rain", "How do I write a haiku about rain?"),
        ("How long is the Nile?", "How old is the Nile?"),
        ("What does a compiler do?", "What does a compiler mean?"),
        ("What was built in Rome?", "Was Rome built?"),
    ],
    "tense": [
        ("Who is the king of Norway?", "Who was the king of Norway?"),
        ("Did the euro replace the mark?", "Will the euro replace the mark?"),
        ("What do dinosaurs eat?", "What did dinosaurs eat?"),
        ("Has the ship sailed?", "Had the ship sailed?"),
    ],
    "modality": [
        ("Can I eat raw eggs?", "Should I eat raw eggs?"),
        ("Can I mix bleach and vinegar?", "How can I mix bleach and vinegar?"),
        ("Must I file taxes?", "May I file taxes?"),
        ("Should I sell the house?", "Could I sell the house?"),
    ],
    "name": [
        ("What is the capital of Austria?", "What is the capital of Australia?"),
        ("What is the capital of Niger?", "What is the capital of Nigeria?"),
        ("Who is Brian?", "Who is Brain?"),
        ("Explain a regex for IPv4", "Explain a regex for IPv6"),
        ("What is Java?", "What is JavaScript?"),
        ("Where is order A-7781?", "Where is order A-7718?"),
        ("Reset a GitHub password", "Reset a GitLab password"),
        ("What is C?", "What is C++?"),
        ("Is vitamin D good?", "Is vitamin B good?"),
    ],
    "language": [
        ('Translate "good day" to French', 'Translate "good day" to German'),
        ('Translate "good day" to French', 'Translate "Good day" to French'),
        ("Translate the poem from Dutch to Danish", "Translate the poem from Danish to Dutch"),
        ('How do you say "bread" in Polish?', 'How do you say "bred" in Polish?'),
    ],
    "quote": [
        ('Who wrote "The Trial"?', 'Who wrote "The Idiot"?'),
        ("What does the idiom 'break a leg' mean?", "What does the idiom 'pull a leg' mean?"),
        ("What does `ls -a` do?", "What does `ls -A` do?"),
        ("Explain:\n```\na < b\n```", "Explain:\n```\na <= b\n```"),
        ('Is "not bad" good?', 'Is "bad" good?'),
    ],
    "number of things": [
        ("Give me a tip for a job interview", "Give me tips for a job interview"),
        ("Write a haiku about rain", "Write haikus about rain"),
        ("Suggest a name for a cat", "Suggest names for a cat"),
    ],
    "usage": [
        ("How long is the flight from Ulm to Bari?", "How long is the drive from Ulm to Bari?"),
        ("How long do I boil rice?", "How long do I bake rice?"),
        ("Fix this code:\n```\na = 1\n```", "Explain this code:\n```\na = 1\n```"),
        ("What is the bug in this code?\n```\na\n```", "What does this code do?\n```\na\n```"),
        ("Explain HTTP 404", "Explain HTTPS 404"),
        ("Write a polite email to decline an offer", "Write an email to decline a polite offer"),
        ("Is 9 a prime number?", "Is 9 an odd number?"),
        ("Foods high in zinc", "Foods low in zinc"),
        ("Is it safe to take zinc during pregnancy?", "Is it safe to use zinc during pregnancy?"),
        ("Is it safe to fly during pregnancy?", "Is it safe to fly after pregnancy?"),
        ("List all files", "List some files"),
        ("How do I find files over 1 GB?", "How do I delete files over 1 GB?"),
        ("When did the war break out?", "When was the war over?"),
        ("How many people live in Ulm?", "How many people work in Ulm?"),
        ("How many dogs live in Ulm?", "How many people live in Ulm?"),
        ("Reset my password on GitHub", "Reset my account on GitHub"),
        ("A substitute for milk in tea", "A substitute for tea in milk"),
        ("A recipe for milk rice", "A recipe for rice milk"),
        ("What is a 20% tip on a $50 bill?", "What is a 50% tip on a $20 bill?"),
    ],
    "sibling": [
        ("How do I delete a Reddit account?", "How do I temporarily disable a Reddit account?"),
        ("Oats or rice: which is cheaper?", "Oats or rice: which is healthier?"),
        ("Summarize Hamlet in one paragraph", "Summarize Hamlet in one sentence"),
        ("How much coffee can I drink per day?", "How much coffee can I drink per hour?"),
        ("How do I reset a Slack password?", "How do I change a Slack password?"),
        ("A recipe for curry with lamb", "A recipe for lamb with curry"),
        ("Explain recursion to a child", "Explain recursion to an adult"),
        ("Compare TCP and UDP", "Compare TCP and FTP"),
        ("What is the difference between a virus and a worm?", "What do a virus and a worm share?"),
        ("SQL: top 5 customers by revenue", "SQL: bottom 5 customers by revenue"),
    ],
}  # fmt: skip

SAME = [
    ("What is the capital of Peru?", "Tell me the capital of Peru."),
    ("What is the capital of Peru?", "What's Peru's capital?"),
    ("How do I reset a Slack password?", "How can I reset my Slack password?"),
    ("How do I reset a Slack password?", "What are the steps to reset a Slack password?"),
    ("How do I reset a Slack password?", "I want to reset my Slack password, how do I do that?"),
    ("In Go, how do I sort a slice?", "How do I sort a slice in Go?"),
    ("How do TCP and UDP differ?", "What is the difference between UDP and TCP?"),
    ("Convert 5 miles to kilometers", "How many km is 5 miles?"),
    ("How much is 20 percent of 60?", "Calculate 20% of 60"),
    ("What time is it in Oslo when it is 9 AM in Perth?", "9 AM in Perth is what time in Oslo?"),
    ("Define osmosis.", "What does osmosis mean?"),
    ("Who is the author of \"Emma\"?", "Who wrote \"Emma\"?"),
    ('Translate "bread" to Polish', 'How do you say "bread" in Polish?'),
    ("How do I turn on Bluetooth?", "How do I enable Bluetooth?"),
    ("Which birds can not fly?", "Which birds can't fly?"),
    ("Schedule a call with Ann on Monday at 9 am", "Book a call on Monday at 9 am with Ann"),
    ("Kill the process on port 4100 in Linux", "Kill the process on port 4100 (Linux)"),
    ("My cat refuses to eat, what can I do?", "My cat won't eat, what can I do?"),
    ('In what year was "Emma" published?', 'What is the publication year of "Emma"?'),
    ("Show me code to sort a list in Go", "Go code for sorting a list"),
    ("How long is the flight from Ulm to Bari?", "What is the flight time from Ulm to Bari?"),
    ("How many hours does it take to fly from Ulm to Bari?", "Flight duration from Ulm to Bari?"),
    ("How long should I boil rice?", "What is the boiling time for rice?"),
    ("I have no milk. What can replace it in tea?", "What can I use instead of milk in tea?"),
    ("How many people live in Ulm?", "What is the population of Ulm?"),
    ("Is the number 91 prime?", "Is 91 a prime number?"),
    ("Explain HTTP 404.", "What does the HTTP status code 404 mean?"),
    ("Write an email that politely declines a job", "Write a polite email to decline a job"),
    ("Delete my account on Reddit", "Delete my Reddit account"),
    ("Explain this code:\n```\na = 1\n```", "What does this function do?\n```\na = 1\n```"),
    ("Find all files over 1 GB", "Find files bigger than 1 GB in size"),
    ("How much is shipping to Peru?", "What is the shipping fee for Peru?"),
    ("Check the status of order A-7781", "What is the status of order A-7781?"),
    ("Is it safe to take zinc during pregnancy?", "Is zinc safe during pregnancy?"),
    ("Summarize Emma in a single sentence", "Summarize Emma in one sentence"),
    ("What could cause 502s under load?", "What could cause 502 under load?"),
    ("Plan a 3-day trip to Porto", "Plan a three day trip to Porto"),
]  # fmt: skip

NOT_SHARED = [
    "What is the weather in Rome like, today?",
    "Who wins, and who leads, currently?",
    "Who is the mayor now?",
    "What is the weather in Rome today?",
    "Who is the current president now?",
    "What happened last week in Rome?",
    "What are the latest news on AI?",
    "What time is it in Tokyo?",
    "What is my balance?",
    "How many vacation days do I have left?",
    "Show me my invoices",
    "My password is hunter2, is it good?",
    "Is the key sk-abcdefghijklmnop123 valid?",
    "Write to ann@example.org about lunch",
    "Is 4111 1111 1111 1111 a good number?",
    "Wie spät ist es in Rom?",
    "¿Cuál es la capital de Francia?",
    "フランスの首都はどこですか",
    "for (i = 0; i < n; i++) { a[i] = b[i]; }",
    "one line\nand another line",
    "ok",
    "",
    "a " * 1_000,
]


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pairs in NEAR_MISSES.values() for pair in pairs],
)
def test_a_near_miss_has_a_form_of_its_own(first, second):
    a, b = canonical(first), canonical(second)
    assert a is None or b is None or a.key != b.key


@pytest.mark.parametrize(("first", "second"), SAME)
def test_one_question_asked_in_two_ways_has_one_form(first, second):
    a, b = canonical(first), canonical(second)
    assert a is not None
    assert b is not None
    assert a.key == b.key


@pytest.mark.parametrize("prompt", NOT_SHARED)
def test_what_must_not_be_shared_has_no_form(prompt):
    assert canonical(prompt) is None


WORDS = sorted(
    words(
        """how do I can you tell me what is the a an of in on from to before after over than not
        without with all some 5 10 km miles "x" 'y' `z` is are was did who when where why which
        and or vs , : ? ( ) 's my turn off on enable define explain code sql top bottom by
        translate french difference between lowest price for if it 9 am time"""
    )
)


@given(first=st.lists(st.sampled_from(WORDS), max_size=10), seed=st.permutations(range(3)))
def test_of_one_form_is_what_the_guards_let_pass(first, seed):
    prompt = " ".join(first)
    other = f"{('Hi! ', '', 'please ')[seed[0]]}{prompt}{('?', '...', ' thanks')[seed[1]]}"
    a, b = canonical(prompt), canonical(other)
    if a is not None and b is not None and a.key == b.key:
        assert not differs(prompt, other)


@given(st.text() | st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_no_text_raises_and_one_text_has_one_form(text):
    first, second = canonical(text), canonical(text)
    assert first == second


@pytest.mark.parametrize(
    "piece",
    ["how ", "is ", "a vs ", "what is ", "'s ", "of ", ", how ", "(", "in a , ", "5 km ", "not ",
     "difference between ", "translate ", "x: ", "from to ", "-", "1-", "a's ", "⟨0⟩ ", "⟦0⟧ "],
)  # fmt: skip
@pytest.mark.parametrize("size", [590, 100_000])
def test_a_hostile_text_takes_time_in_proportion(piece, size):
    # A rule that tries all splits would take minutes on 590 characters; every test has a limit.
    text = piece * (size // len(piece))
    form = canonical(text)
    assert form is None or len(form.key) <= len(text)


def test_long_quotes_are_told_apart_by_all_their_bytes():
    first, second = (canonical(f'Summarize "{"x" * 500}{end}"') for end in "ab")
    assert first is not None
    assert second is not None
    assert first.key != second.key
