"""Text for oracle_text.py: sentences to train small tokenizers on, and text that is hard to tokenise."""

import random

# Article 1 of the Universal Declaration of Human Rights.
DECLARATION = [
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und "
    "sollen einander im Geist der Brüderlichkeit begegnen.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience "
    "et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
]


def code_lines(n):
    r = random.Random(7)
    nouns = "value index total image token layer weight row tile page title price sum name count width height".split()
    lines = []
    for i in range(n):
        a, b, c = r.choice(nouns), r.choice(nouns), r.choice(nouns)
        lines.append(r.choice([
            f"    for (int i = 0; i < n_{a}s; i++) {a}[i] += {b} * {r.randrange(100)};",
            f'{{"{a}": "{b}", "{c}": {r.randrange(10000)}, "{b}s": [{r.randrange(10)}, {r.randrange(10)}]}}',
            f"What is the {a} of the {b}? The {a} is {r.randrange(1000)}.",
            f"def {a}_{b}(self, {c}=None):\n    return self.{a}.get({c}, {r.randrange(10)})\n",
            f"Describe the {a} in this picture. There is a {b} and a {c} in it.",
            f"// {a.upper()}_{b.upper()} = 0x{r.randrange(65536):04X};\n",
        ]))
    return lines


HARD = DECLARATION + [
    "", " ", "  ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", " \t \n ", "a", "a ", " a", "  a", "a  b", "a   b   ",
    "The image shows", " The image shows", "the chart of the picture.", "ALL CAPS WORDS", "CamelCaseWordsLikeThis",
    "XMLHttpRequest", "iPhone McDonald's O'Neill's", "can't won't I'll you've he'd she's I'm THEY'RE",
    "1", "12", "123", "1234567890", "3.14159265358979", "1,000,000.00", "0x1F", "2024-12-31T23:59:59Z", "½ ⅓ Ⅷ ٣٤٥ ৪ 一二三",
    "line one\nline two\n\nline four", "windows\r\nline\r\nends", "old\rmac\rends", "tabs\tand\tmore\t\ttabs",
    "trailing spaces   \n   leading", "   \n   \n", "a \n", "a\n ", " \n a", "!\n", "!\n\n", "!/\r\n/", "...///", "// comment\n",
    "http://example.org/path?query=1&b=2#part", "user@example.org", "C:\\path\\to\\file.txt", "/usr/share/doc/*",
    "#include <stdio.h>\nint main(void)\n{\n\treturn 0;\n}\n", "def f(x):\n    return x**2  # square\n",
    "{\"a\": [1, 2.5, null], \"b\": {\"c\": \"d\\n\"}}", "<p class=\"x\">text &amp; more</p>", "$x^2 + y^2 = z^2$ \\frac{1}{2}",
    "!!!", "??!?", "--- *** ___", "((([[[{{{}}}]]])))", " !", "! ", "!a", "!A", "!1", "-a-", "_a_", "a_b_c", "«quoted»", "„quoted“",
    "naïve café résumé", "nai\u0308ve cafe\u0301", "\u0301", "a\u0301\u0302\u0303", "\u0301a", "!\u0301", " \u0301", "1\u0301",
    "ǅ ǈ ǋ ǲ", "ǅungla", "ʰʲˠ", "ªº", "ﬁ ﬂ ﬀ", "ẞß", "İıiI", "ſ's 'ſ", "ΑΒΓ αβγς", "АБВ абв",
    "漢字かなカナ混じり文", "中文，没有空格。", "한국어 조선말", "ไทย ภาษา", "हिन्दी क्षत्रिय", "தமிழ் மொழி", "ქართული", "Հայերեն",
    "አማርኛ", "ᏣᎳᎩ", "ភាសាខ្មែរ", "བོད་སྐད", "𐍈𐌰𐌿𐍄", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "𠀀𠀁𪚥", "ﷺ", "שָׁלוֹם", "مُحَمَّد", "עברית English mixed العربية",
    "😀", "😀😃😄", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "❤️", "☺︎", "a😀b", " 😀 ", "1️⃣", "🏴\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F",
    "\u00a0", "a\u00a0b", "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", "\u2028\u2029", "\u202f\u205f\u3000",
    "\u0085", "a\u0085b", "\u180e", "\u200b\u200c\u200d\u2060\ufeff", "a\u200bb", "\x0b\x0c\x1c\x1d\x1e\x1f", "\x01\x02\x1b[31m", "\x7f\x80\x9f",
    "\ufffd", "\ufffe\uffff", "\ue000\uf8ff", "\U0010ffff", "\u0378", "\u2fe0",
    "<s>", "</s>", "<unk>", "<s>text</s>", "<SPECIAL_10>System\n<SPECIAL_11>User\nhi\n<SPECIAL_11>Assistant\n", "a<SPECIAL_12>b",
    "<SPECIAL_1", "<SPECIAL_1>", "<SPECIAL_11", "SPECIAL_11>", "[INST] hi [/INST]", "<<s>>", "<s", "s>", "< s>", "<s><s>",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n</think>", "<think></think>", "<tool_call>{}</tool_call>",
    "<img><IMG_CONTEXT></img>", "<Image><tile_01><image></Image><tile_global_thumbnail>", "<tile_1>", "<tile_13>",
    "a <mask> b", "a  <mask>  b", "<mask><mask>", " \u00a0<mask>", "a <right>  b", "<right>\n\nx", "a <both> b", "<right>  <mask>",
    "word", "words", "a word.", "sword", "word!", "wordy", "wordword", "word word", "_word", "éword", "word\u0301", "word\u200d",
    "naïve", "unnaïvely", "été", "l'été.", "étés", "<far>", "a<far>b", "Qu~ Q~Q Привет\nQ", "~~~QQQ\n\n~",
    "a" * 100, "ab" * 60, " " * 50, "\n" * 30, "=" * 70, "1" * 40, "é" * 40, "A" * 40, "aA" * 30, "\u0301" * 20, "的" * 40,
    "The quick brown fox jumps over the lazy dog. " * 3,
]
