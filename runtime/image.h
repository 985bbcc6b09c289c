/* runtime/image.h: the tiles behind a tsr_image; for the files of runtime/ alone. */
#ifndef TSR_RUNTIME_IMAGE_H
#define TSR_RUNTIME_IMAGE_H

#include "preprocess/tiles.h"
#include "runtime/model.h"

struct tsr_image {
    tsr_image_info info;
    tsr_tiles tiles;
};

#endif
