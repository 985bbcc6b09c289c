"""The tables of CARD.md from what eval.py wrote.   python card.py test.json held.json phrasing.json blank.json"""
import json
import sys

ROWS = ("receipt", "invoice", "form", "table", "bar", "line", "pie", "sign", "scene", "lines", "paragraph", "nothing")


def cell(d, f, k, percent=True):
    v = d["families"].get(f, {}).get(k) if f else d["all"].get(k)
    if not v:
        return ""
    return f"{100 * v[0]:.0f} ({100 * v[1]:.0f}-{100 * v[2]:.0f}, {v[3]})"


def main():
    test, held, phrasing, blank, shuffled = (json.load(open(p)) for p in sys.argv[1:])
    print("| family | fields, known resources | fields, held out | fields, unseen phrasings | held out, blank picture | held out, another picture | most frequent answer |\n| --- | --- | --- | --- | --- | --- | --- |")
    for f in ROWS:
        print(f"| {f} | {cell(test, f, 'field')} | {cell(held, f, 'field')} | {cell(phrasing, f, 'field')} | {cell(blank, f, 'field')} | {cell(shuffled, f, 'field')} | {100 * held['most_frequent_answer'][f]:.0f} |")
    print(f"| **all** | {cell(test, '', 'field')} | {cell(held, '', 'field')} | {cell(phrasing, '', 'field')} | | | |")
    print("\n| measure | known resources | held out | unseen phrasings |\n| --- | --- | --- | --- |")
    for k, n in (("absent", "`not shown` where it is due"), ("said_absent", "`not shown` is right when said"), ("cer", "reading: character error rate, all text families"), ("lines", "reading: exact lines"),
                 ("json_ok", "JSON parses"), ("json_keys", "JSON has the asked keys in order"), ("json_field", "JSON fields exact"), ("caption_true", "captions in which every number and name is in the picture"),
                 ("caption_kind", "captions that name the kind"), ("run_on", "run-on answers")):
        print(f"| {n} | {cell(test, '', k)} | {cell(held, '', k)} | {cell(phrasing, '', k)} |")
    for f in ("sign", "lines", "paragraph"):
        print(f"| character error rate, {f} | {cell(test, f, 'cer')} | {cell(held, f, 'cer')} | {cell(phrasing, f, 'cer')} |")


if __name__ == "__main__":
    main()
