/* runtime/calibration_text.c: what calibration reads when nothing else is given.
 *
 * 16 documents of the kinds that people show a model, each behind 8 instructions. Written for this program.
 */
#include <stdio.h>

#include "runtime/calibrate.h"

static const char *const instructions[] = {
    "Summarise this in one sentence.\n\n",
    "Read the following and answer: what is it about?\n\n",
    "Copy the text exactly as it stands, line by line.\n\n",
    "Turn this into JSON with sensible keys.\n\n",
    "List every number below and say what it measures.\n\n",
    "Traduis ce texte en français.\n\n",
    "You are a careful assistant. Find mistakes in the text, think step by step, then give your answer.\n\n",
    "",
};

static const char *const documents[] = {
    "CORNER MARKET\n14 Harbour Street\n2026-03-09 17:42  till 3\n\nBread rye 750 g        3.40\nMilk 1 l  2 "
    "x 1.15     "
    "2.30\nApples 1.284 kg        3.83\nBatteries AA 4         5.99\n\nSUBTOTAL              15.52\nVAT 7 %  "
    "              "
    "1.02\nTOTAL EUR             15.52\nCASH                  20.00\nCHANGE                 4.48\n\nThank "
    "you, come again!",
    "| Quarter | Revenue | Costs | Margin |\n|---|---:|---:|---:|\n| Q1 | 1,204 | 988 | 17.9 % |\n| Q2 | "
    "1,377 | 1,050 "
    "| 23.7 % |\n| Q3 | 1,290 | 1,101 | 14.7 % |\n| Q4 | 1,618 | 1,166 | 27.9 % |\n\nAll figures in "
    "thousands. The third "
    "quarter includes the move to the new warehouse.",
    "#include <stdlib.h>\n\nstatic int gcd(int a, int b)\n{\n    while (b) {\n        int rest = a % b;\n    "
    "    a = b;\n"
    "        b = rest;\n    }\n    return a;\n}\n\nint main(int argc, char **argv)\n{\n    /* 21 for 1071 "
    "and 462 */\n    return "
    "argc == 3 ? gcd(atoi(argv[1]), atoi(argv[2])) : 1;\n}",
    "{\"order\": 48813, \"customer\": {\"name\": \"R. Okafor\", \"city\": \"Leeds\"}, \"items\": [{\"sku\": "
    "\"TX-20\", "
    "\"count\": 3, \"price\": 12.5}, {\"sku\": \"LM-7b\", \"count\": 1, \"price\": 80}], \"paid\": true, "
    "\"notes\": null}",
    "The lighthouse had been dark for eleven years when the keeper's daughter came back. Nobody in the "
    "village expected "
    "her to climb the stairs, least of all at night; but just after ten the lamp began to turn again, slowly "
    "at first, "
    "and out on the water a fishing boat answered with three short blasts of its horn.",
    "Dear Ms Lindqvist,\n\nthank you for your letter of 4 May. We have looked into the delay of parcel "
    "00-7731-X: it was "
    "held at customs because the declaration lacked a value. Please send us a copy of the invoice; we shall "
    "then release "
    "it within two working days and refund the storage fee of 18.60.\n\nYours sincerely\nT. Abara, Customer "
    "Service",
    "Let f(x) = x^3 - 6x^2 + 11x - 6. Since f(1) = 0, the polynomial is divisible by (x - 1): f(x) = (x - "
    "1)(x^2 - 5x + "
    "6) = (x - 1)(x - 2)(x - 3). Its derivative 3x^2 - 12x + 11 vanishes at x = 2 ± 1/√3, so the local "
    "maximum is "
    "2/(3√3) ≈ 0.385 and the local minimum is its negative.",
    "Lentil soup for four: rinse 250 g red lentils. Soften two onions and three carrots in olive oil for 8 "
    "minutes, add a "
    "teaspoon each of cumin and paprika, then the lentils and 1.2 l of stock. Simmer 20 minutes, blend half "
    "of it, season "
    "with lemon juice and salt. Keeps three days in the fridge and freezes well.",
    "2026-01-17T03:12:08Z INFO  gateway  request=9f3c path=/v1/items status=200 ms=14\n2026-01-17T03:12:09Z "
    "WARN  gateway "
    " request=9f3d path=/v1/items status=429 ms=2\n2026-01-17T03:12:11Z ERROR store    write failed: no "
    "space left on "
    "device (28), retry 1 of 5\n2026-01-17T03:12:16Z INFO  store    write done after 2 retries",
    "Die Wanderung beginnt am Bahnhof und führt zunächst durch den Buchenwald hinauf zur Burgruine (412 m). "
    "Nach einer "
    "Rast mit Blick über das Flusstal geht es auf schmalem Pfad weiter; festes Schuhwerk ist nötig. "
    "Gesamtlänge 13,5 km, "
    "Gehzeit etwa vier Stunden, Rückfahrt mit dem Bus Linie 57 stündlich bis 19.08 Uhr.",
    "Le musée ouvre ses portes à neuf heures. L'entrée coûte douze euros, mais elle est gratuite le premier "
    "dimanche du "
    "mois et pour les moins de dix-huit ans. On y découvre des cartes anciennes, des instruments de "
    "navigation et la "
    "maquette d'un trois-mâts de 1786, longue de près de deux mètres.",
    "会议定于星期三下午两点半在三号楼举行。请各部门提前准备本季度的销售数据和下一步计划。\n次回の列車は二番線"
    "から九時十五分に発車します。"
    "お荷物にご注意ください。\nПоезд прибывает на вторую платформу в 9:15. Пожалуйста, будьте "
    "осторожны.\nالقطار يصل في "
    "الساعة التاسعة والربع.",
    "A: Did you water the plants?\nB: Which ones? The ferns, yes. The cactus doesn't want any until "
    "March.\nA: And the "
    "basil?\nB: ...I'm sorry about the basil.\nA: Again?! That's the third one this year :(\nB: I'll buy "
    "another tomorrow, "
    "promise. With a bigger pot this time.",
    "<table id=\"hours\">\n  <tr><th>Day</th><th>Open</th></tr>\n  "
    "<tr><td>Mon&ndash;Fri</td><td>08:00&ndash;18:30</td>"
    "</tr>\n  <tr><td>Sat</td><td>09:00&ndash;13:00</td></tr>\n</table>\n<p class=\"note\">Closed on public "
    "holidays. Tel. "
    "<a href=\"tel:+4420555\">+44 20 555</a></p>",
    "Abstract. We measure how quickly sediment settles in a rotating tank 1.8 m across. For grains of 63 to "
    "250 "
    "micrometres the settling time falls with the square of the diameter, as Stokes' law predicts, up to 0.4 "
    "revolutions "
    "per second; above that, secondary currents carry a fifth of the material towards the centre (n = 36, p "
    "< 0.01).",
    "100 200 300 400 500; 3.14159 2.71828 1.41421; 0x7fff 0b1010 1e-9; 12/25/2025, 25.12.2025, 2025-12-25; "
    "$1,299.00 "
    "€1.299,00 £1299; +1 (555) 010-9988; 192.168.0.17:8080; ISBN 978-0-00-000000-2; A1 B2 C3 D4; ***** ----- "
    "===== _____ "
    "?!?! ... \"quoted\" 'single' (nested [brackets {here}])",
};

enum {
    N_INSTRUCTIONS = sizeof instructions / sizeof *instructions,
    N_DOCUMENTS = sizeof documents / sizeof *documents
};

bool tsr_calibration_text(char to[TSR_CALIBRATION_TEXT_BYTES], int64_t i)
{
    if (i < 0 || i >= (int64_t)N_INSTRUCTIONS * N_DOCUMENTS) return false;
    snprintf(to, TSR_CALIBRATION_TEXT_BYTES, "%s%s", instructions[i / N_DOCUMENTS],
             documents[i % N_DOCUMENTS]);
    return true;
}
