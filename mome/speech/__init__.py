"""Speech in and out: decode audio and video, find the mouth, mix and measure noise, store clips in shards."""
