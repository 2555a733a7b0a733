/* Concealment of spandsp, for comparison: a recording at 8 kHz through A-law, the frames that the network
   lost or that came later than 60 ms made up by plc_fillin. Arguments: WAV to say, delays, WAV to write. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <spandsp.h>

enum { FRAME = 160, HEADER = 44, DELAY_MS = 60 };

int main(int argc, char **argv)
{
    char header[HEADER], line[32];
    int16_t frame[FRAME];
    FILE *say = argc == 4 ? fopen(argv[1], "rb") : NULL;
    FILE *network = say ? fopen(argv[2], "r") : NULL;
    FILE *heard = network ? fopen(argv[3], "wb") : NULL;
    plc_state_t *plc = plc_init(NULL);

    if (!heard || !plc || fread(header, 1, HEADER, say) != HEADER)
        return 1;
    fwrite(header, 1, HEADER, heard);
    while (fread(frame, sizeof *frame, FRAME, say) == FRAME) {
        int here = !fgets(line, sizeof line, network) || (line[0] != '-' && atoi(line) <= DELAY_MS);
        for (int i = 0; i < FRAME; i++)
            frame[i] = alaw_to_linear(linear_to_alaw(frame[i]));
        if (here)
            plc_rx(plc, frame, FRAME);
        else
            plc_fillin(plc, frame, FRAME);
        fwrite(frame, sizeof *frame, FRAME, heard);
    }
    return fclose(heard);
}
