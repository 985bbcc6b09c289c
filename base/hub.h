/* base/hub.h: where a model lies.
 *
 * Nothing here touches the network: an id of the Hugging Face hub is looked up in the cache that its own
 * tools have filled.
 */
#ifndef TSR_HUB_H
#define TSR_HUB_H

#include "base/status.h"

/* The directory of a model, to be freed with tsr_free.
 *
 *   model   an existing directory, which wins, or ORG/NAME: letters, digits, ".", "_" and "-", without ".."
 *
 * An id is looked for as models--ORG--NAME in HF_HUB_CACHE, else in HF_HOME/hub, else in huggingface/hub
 * under XDG_CACHE_HOME, else under .cache in HOME: the first of these variables that is set decides. There
 * refs/main holds a commit of 40 hex digits and snapshots/COMMIT the files.
 * Errors: TSR_E_ARG for what is neither, TSR_E_IO for what is not there, TSR_E_FORMAT for a ref that is no
 * commit; each names what was looked for and where. TSR_E_NOMEM.
 * Threads: safe while nobody changes the environment.
 * Source: huggingface_hub, constants.py and file_download.py.
 */
TSR_CHECKED tsr_status tsr_hub_resolve(char **directory, const char *model);

#endif
