"""The families, their shares per stage, and the sizes of picture each is drawn at."""
import fam_charts
import fam_docs
import fam_scene
import fam_text
import fam_world

FAMILIES = {"lines": fam_text.lines, "paragraph": fam_text.paragraph, "receipt": fam_docs.receipt, "invoice": fam_docs.invoice, "form": fam_docs.form,
            "table": fam_docs.table, "bar": fam_charts.bar, "line": fam_charts.line, "pie": fam_charts.pie, "sign": fam_text.sign,
            "scene": fam_scene.scene, "nothing": fam_text.nothing, "diagram": fam_text.diagram,
            "photo": fam_world.photo, "screenshot": fam_world.screenshot, "smallprint": fam_world.smallprint}
SHARES = {"A": dict(lines=55, sign=17, scene=20, form=4, bar=2, pie=1, nothing=1, photo=2, screenshot=1),
          "B": dict(lines=14, paragraph=8, receipt=14, invoice=6, form=12, table=6, bar=12, line=6, pie=6, sign=6, scene=9, nothing=2, diagram=3, photo=4, screenshot=3, smallprint=2),
          "C": dict(lines=8, paragraph=8, receipt=15, invoice=7, form=11, table=7, bar=13, line=6, pie=6, sign=6, scene=11, nothing=2, diagram=4, photo=4, screenshot=3, smallprint=3)}
# (columns, rows) of the canvas a family is drawn for
GRIDS = {"lines": [(1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (3, 2)], "paragraph": [(2, 1), (2, 2), (2, 2), (2, 3), (3, 2), (3, 3)],
         "receipt": [(1, 2), (1, 2), (1, 2), (1, 3), (2, 3), (2, 4), (2, 4), (2, 5)], "invoice": [(1, 2), (2, 2), (2, 2), (2, 3), (2, 3), (3, 2)],
         "form": [(1, 1), (2, 1), (1, 2), (2, 2), (2, 2), (2, 3), (3, 2)], "table": [(1, 1), (2, 1), (2, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2)],
         "bar": [(1, 1), (2, 1), (2, 2), (2, 2), (3, 2), (3, 2)], "line": [(1, 1), (2, 1), (2, 2), (3, 2), (3, 2)], "pie": [(1, 1), (2, 1), (2, 2), (3, 2)],
         "sign": [(1, 1), (1, 1), (2, 1), (2, 2), (3, 2)], "scene": [(1, 1), (1, 1), (1, 1), (2, 2), (3, 2), (2, 1)], "nothing": [(1, 1), (1, 1), (2, 1), (2, 2), (3, 2)],
         "diagram": [(1, 2), (2, 1), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2)], "photo": [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)],
         "screenshot": [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 2)], "smallprint": [(1, 1), (1, 2), (2, 2), (2, 3), (2, 3), (2, 3), (3, 2)]}


def grid(r, family, stage):
    cap = 1 if stage == "A" else 4 if stage == "B" else r.choices((1, 2, 4, 6, 10), (6, 14, 25, 37, 18))[0]
    fit = [g for g in GRIDS[family] if g[0] * g[1] <= cap]
    return r.choice(fit or [min(GRIDS[family], key=lambda g: g[0] * g[1])])
