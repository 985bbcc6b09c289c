/* tests/device/wrap_slots.h: the slots of one wrapped table; included by wrap.c alone, once for each. */

static void NAME(norm)(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    call c = begin(WHICH, q, "norm");
    tsr_norm_weight n = norm_weight(&c, w);
    c.t->inner->norm(q, view(&c, "y", y), view(&c, "x", x), &n);
    end(&c);
}

static void NAME(convert)(tsr_queue *q, tsr_view y, tsr_view x)
{
    call c = begin(WHICH, q, "convert");
    c.t->inner->convert(q, view(&c, "y", y), view(&c, "x", x));
    end(&c);
}

static void NAME(linear)(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    call c = begin(WHICH, q, "linear");
    tsr_weight n = weight(&c, w);
    tsr_norm_weight norm;
    if (o.norm) norm = norm_weight(&c, o.norm), o.norm = &norm;
    o.gain = view(&c, "gain", o.gain);
    o.add = view(&c, "add", o.add);
    c.t->inner->linear(q, view(&c, "y", y), view(&c, "x", x), &n, o);
    end(&c);
}

static void NAME(embed)(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image, const tsr_step *s)
{
    call c = begin(WHICH, q, "embed");
    tsr_weight n = weight(&c, table);
    tsr_step at = step(&c, s);
    c.t->inner->embed(q, view(&c, "x", x), &n, view(&c, "image", image), &at);
    end(&c);
}

static void NAME(patchify)(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid)
{
    call c = begin(WHICH, q, "patchify");
    c.t->inner->patchify(q, view(&c, "y", y), view(&c, "tiles", tiles), view(&c, "table", table), grid);
    end(&c);
}

static void NAME(vit_enter)(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos)
{
    call c = begin(WHICH, q, "vit_enter");
    c.t->inner->vit_enter(q, view(&c, "x", x), view(&c, "patches", patches), view(&c, "prefix", prefix),
                          view(&c, "pos", pos));
    end(&c);
}

static void NAME(vit_leave)(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches)
{
    call c = begin(WHICH, q, "vit_leave");
    c.t->inner->vit_leave(q, view(&c, "y", y), view(&c, "x", x), n_prefix, n_patches);
    end(&c);
}

static void NAME(gather)(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row)
{
    call c = begin(WHICH, q, "gather");
    c.t->inner->gather(q, view(&c, "y", y), view(&c, "x", x), place(&c, "row", row));
    end(&c);
}

static void NAME(attend)(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans)
{
    call c = begin(WHICH, q, "attend");
    spans.start = place(&c, "spans.start", spans.start);
    c.t->inner->attend(q, view(&c, "y", y), view(&c, "qkv", qkv), heads, spans);
    end(&c);
}

static void NAME(pixel_shuffle)(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version)
{
    call c = begin(WHICH, q, "pixel_shuffle");
    c.t->inner->pixel_shuffle(q, view(&c, "y", y), view(&c, "x", x), grid, version);
    end(&c);
}

static void NAME(conv)(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                       const tsr_step *s)
{
    call c = begin(WHICH, q, "conv");
    tsr_mixer n = mixer(&c, m);
    tsr_step at = step(&c, s);
    c.t->inner->conv(q, view(&c, "y", y), view(&c, "x", x), &n, slots(&c, conv), &at);
    end(&c);
}

static void NAME(scan)(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                       const tsr_step *s)
{
    call c = begin(WHICH, q, "scan");
    tsr_mixer n = mixer(&c, m);
    tsr_step at = step(&c, s);
    c.t->inner->scan(q, view(&c, "y", y), view(&c, "xbc", xbc), view(&c, "dt", dt), &n, slots(&c, ssm), &at);
    end(&c);
}

static void NAME(gated_norm)(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    call c = begin(WHICH, q, "gated_norm");
    tsr_mixer n = mixer(&c, m);
    c.t->inner->gated_norm(q, view(&c, "y", y), view(&c, "x", x), view(&c, "z", z), &n);
    end(&c);
}

static void NAME(kv_write)(tsr_queue *q, tsr_pages p, tsr_view k, tsr_view v, tsr_heads heads,
                           const tsr_step *s)
{
    call c = begin(WHICH, q, "kv_write");
    tsr_step at = step(&c, s);
    c.t->inner->kv_write(q, pages(&c, p), view(&c, "k", k), view(&c, "v", v), heads, &at);
    end(&c);
}

static void NAME(kv_attend)(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages p, tsr_heads heads,
                            const tsr_step *s)
{
    call c = begin(WHICH, q, "kv_attend");
    tsr_step at = step(&c, s);
    c.t->inner->kv_attend(q, view(&c, "y", y), view(&c, "x", x), pages(&c, p), heads, &at);
    end(&c);
}

static void NAME(moe_route)(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *r)
{
    call c = begin(WHICH, q, "moe_route");
    tsr_router n = *r;
    n.w = view(&c, "router.w", r->w);
    n.bias = view(&c, "router.bias", r->bias);
    c.t->inner->moe_route(q, view(&c, "ids", ids), view(&c, "gates", gates), view(&c, "u", u), &n);
    end(&c);
}

static void NAME(moe_ffn)(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                          tsr_view ids, tsr_view gates, tsr_view add)
{
    call c = begin(WHICH, q, "moe_ffn");
    tsr_weight n_up = weight(&c, up), n_down = weight(&c, down);
    c.t->inner->moe_ffn(q, view(&c, "y", y), view(&c, "t", t), &n_up, &n_down, view(&c, "ids", ids),
                        view(&c, "gates", gates), view(&c, "add", add));
    end(&c);
}

static void NAME(sample)(tsr_queue *q, const tsr_step *s, tsr_view logits)
{
    call c = begin(WHICH, q, "sample");
    tsr_step at = step(&c, s);
    c.t->inner->sample(q, &at, view(&c, "logits", logits));
    end(&c);
}

static void NAME(advance)(tsr_queue *q, const tsr_step *s, const tsr_ring *ring)
{
    call c = begin(WHICH, q, "advance");
    tsr_step at = step(&c, s);
    tsr_ring r = ring_of(&c, ring);
    c.t->inner->advance(q, &at, &r);
    end(&c);
}

static void NAME(slot_copy)(tsr_queue *q, tsr_blocks b, int64_t dst, int64_t src)
{
    call c = begin(WHICH, q, "slot_copy");
    c.t->inner->slot_copy(q, blocks(&c, b), dst, src);
    end(&c);
}

/* Through a block of its own: `host` may be among what `leave` brings back. */
static void NAME(slot_read)(tsr_queue *q, void *host, tsr_blocks b, int64_t i)
{
    void *block = malloc(b.bytes + 1);
    if (!block) {
        tsr_queue_fail(q, TSR_E_NOMEM, "slot_read: no memory");
        return;
    }
    call c = begin(WHICH, q, "slot_read");
    c.t->inner->slot_read(q, block, blocks(&c, b), i);
    if (c.t->inner->memory) c.t->inner->memory->sync(q);
    end(&c);
    memcpy(host, block, b.bytes);
    free(block);
}

static void NAME(slot_write)(tsr_queue *q, tsr_blocks b, int64_t i, const void *host)
{
    call c = begin(WHICH, q, "slot_write");
    c.t->inner->slot_write(q, blocks(&c, b), i, host);
    end(&c);
}

static void NAME(mamba_mix)(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state state,
                            const tsr_step *s)
{
    call c = begin(WHICH, q, "mamba_mix");
    tsr_mixer n = mixer(&c, m);
    tsr_step at = step(&c, s);
    tsr_mamba_state there = {slots(&c, state.conv), slots(&c, state.ssm)};
    c.t->inner->mamba_mix(q, view(&c, "y", y), view(&c, "p", p), &n, there, &at);
    end(&c);
}

static void NAME(attention)(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_pages p, tsr_heads heads,
                            const tsr_step *s)
{
    call c = begin(WHICH, q, "attention");
    tsr_step at = step(&c, s);
    c.t->inner->attention(q, view(&c, "y", y), view(&c, "qkv", qkv), pages(&c, p), heads, &at);
    end(&c);
}

static void NAME(linear_pack)(tsr_queue *q, tsr_weight *w, void *block, const tsr_linear_source *source)
{
    call c = begin(WHICH, q, "linear_pack");
    tsr_linear_source s = *source;
    s.bias = place(&c, "bias", source->bias);
    s.input_scale = place(&c, "input_scale", source->input_scale);
    c.t->inner->linear_pack(q, w, place(&c, "block", block), &s);
    end(&c);
    w->data = unplace(c.t, w->data);
    w->scale = unplace(c.t, w->scale);
    w->bias = unplace(c.t, w->bias);
    w->input_scale = unplace(c.t, w->input_scale);
}

static tsr_ops NAME(table)(const tsr_ops *inner)
{
    tsr_ops ops = *inner; /* what measures and asks needs no wrapping */
#define SLOT(slot)                                                                                           \
    if (inner->slot) ops.slot = NAME(slot)
    SLOT(norm);
    SLOT(convert);
    SLOT(linear);
    SLOT(embed);
    SLOT(patchify);
    SLOT(vit_enter);
    SLOT(vit_leave);
    SLOT(gather);
    SLOT(attend);
    SLOT(pixel_shuffle);
    SLOT(conv);
    SLOT(scan);
    SLOT(gated_norm);
    SLOT(kv_write);
    SLOT(kv_attend);
    SLOT(moe_route);
    SLOT(moe_ffn);
    SLOT(sample);
    SLOT(advance);
    SLOT(slot_copy);
    SLOT(slot_read);
    SLOT(slot_write);
    SLOT(mamba_mix);
    SLOT(attention);
    SLOT(linear_pack);
#undef SLOT
    return ops;
}
